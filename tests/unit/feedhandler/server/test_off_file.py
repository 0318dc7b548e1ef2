"""The file of functions that are not called."""

from pathlib import Path

import pytest

from feedhandler.server.errors import ConfigError, ExitCode, UserError
from feedhandler.server.off_file import add_off, off_path, read_off, remove_off


def test_it_lies_where_the_configuration_says_or_beside_the_stores(tmp_path: Path):
    assert off_path("", str(tmp_path)) == tmp_path / "functions.off"
    assert off_path("/elsewhere", str(tmp_path)) == Path("/elsewhere")


def test_without_a_file_every_function_is_called(tmp_path: Path):
    assert read_off(tmp_path / "none") == frozenset()
    assert not remove_off(tmp_path / "none", "spread")


def test_functions_come_and_go_one_line_each(tmp_path: Path):
    path = tmp_path / "state" / "functions.off"
    add_off(path, "spread", "it did not return", "/own.py:12")
    add_off(path, "sweep", "it did not return", "/own.py:40")
    add_off(path, "spread", "again", "/own.py:13")
    assert read_off(path) == {"spread", "sweep"}
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert [line.split("\t")[0] for line in lines] == ["sweep", "spread"]
    assert lines[1].split("\t")[2:] == ["again", "/own.py:13"]
    assert remove_off(path, "spread")
    assert read_off(path) == {"sweep"}
    assert path.read_text().startswith("# Patterns and breakers that the server does not call.")


def test_a_person_may_write_it_by_hand(tmp_path: Path):
    path = tmp_path / "functions.off"
    path.write_text("# mine\n\nspread\n  sweep  \tsince noon\n")
    assert read_off(path) == {"spread", "sweep"}


def test_a_file_that_is_none_is_told_in_one_line(tmp_path: Path):
    path = tmp_path / "functions.off"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"off_file: cannot read .*functions\.off"):
        read_off(path)
    with pytest.raises(UserError, match="off_file: cannot write /proc/func") as fault:
        add_off(Path("/proc/functions.off"), "spread", "it did not return", "")
    assert fault.value.exit_code == ExitCode.CANNOT_WRITE
