"""A configuration that cannot be used: one line on standard error, the right exit code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.support import run_command

GOOD = """\
[feed]
line_a = { port = 0 }
[oms]
store_dir = "store"
allowed = ["OMS1"]
"""


def write(text: str) -> Callable[[Path], None]:
    return lambda path: path.joinpath("server.toml").write_text(text) and None


@pytest.mark.parametrize(
    ("prepare", "named"),
    [
        pytest.param(
            write(GOOD.replace("line_a", "line_x")), ":2: [feed] unknown key 'line_x'", id="key"
        ),
        pytest.param(write(GOOD[:25]), ":2: not valid TOML: ", id="truncated"),
        pytest.param(lambda _path: None, "no such configuration file", id="missing"),
        pytest.param(lambda path: (path / "server.toml").mkdir(), "Is a directory", id="directory"),
        pytest.param(
            write(GOOD + '[[patterns]]\nname = "p"\nfunction = "nowhere:at_all"\n'),
            "patterns[0] 'p': cannot load 'nowhere:at_all'",
            id="function",
        ),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_it_is_refused_in_one_line(
    tmp_path: Path, command: str, prepare: Callable[[Path], None], named: str
):
    prepare(tmp_path)
    file = tmp_path / "server.toml"
    done = run_command(command, *(("--config", file) if command == "serve" else (file,)))
    assert done.returncode == 78
    # The server's log is JSON and comes before.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("feedhandler: error: ")
    assert named in lines[0]
    assert done.stdout == ""
