"""Files of a server, looked at before it starts."""

import os
from pathlib import Path

import pytest

from feedhandler.server.configfile import check_writable
from feedhandler.server.errors import ExitCode, OsLimitError, UserError
from feedhandler.server.ownership import own_counter_file


def test_a_counter_file_has_one_owner_at_a_time(tmp_path: Path):
    path = tmp_path / "new" / "counters"
    descriptor = own_counter_file(path)
    with pytest.raises(OsLimitError, match=r"another server is running with .*new/counters; stop"):
        own_counter_file(path)
    os.close(descriptor)
    os.close(own_counter_file(path))


def test_a_folder_that_cannot_be_is_refused_by_its_name(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"counters_file: cannot write to .*/file: ") as caught:
        own_counter_file(tmp_path / "file" / "counters")
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE


def test_a_report_may_be_left_out_or_go_to_a_folder_that_exists(tmp_path: Path):
    check_writable("")
    check_writable(str(tmp_path / "report.json"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "missing/report.json"])
def test_a_report_that_could_not_be_written_is_refused_at_start(tmp_path: Path, name: str):
    with pytest.raises(UserError, match="report_file: cannot write ") as caught:
        check_writable(str(tmp_path / name))
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE
