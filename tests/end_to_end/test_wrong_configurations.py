"""A configuration that cannot be used: one line on standard error, the right exit code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.programs import run_here, run_program

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
        pytest.param(
            write(
                GOOD
                + '[[patterns]]\nname = "p"\nfunction = "feedhandler.core.patterns:crossed"\n'
                + 'legs = [["TOOLONGER@itch", "A@itch"]]\n'
            ),
            "patterns[0] 'p': 'TOOLONGER' is no symbol: it has 1 to 8 characters",
            id="symbol",
        ),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_it_is_refused_in_one_line(
    tmp_path: Path, command: str, prepare: Callable[[Path], None], named: str
):
    prepare(tmp_path)
    file = tmp_path / "server.toml"
    run = run_program if command == "serve" and named.startswith("patterns") else run_here
    done = run("feedhandler.server", command, *(("--config",) if command == "serve" else ()), file)
    assert done.returncode == 78
    # The server's log is JSON and comes before.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("feedhandler: error: ")
    assert named in lines[0]
    assert done.stdout == ""


def test_a_stage_in_a_file_of_the_users_own_loads_at_every_start(tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "from feedhandler.core.api import pattern\n\n\n"
        '@pattern("limit")\n'
        "def quiet(ticks, slot, market, legs, params, state, out):\n"
        '    return 1 if ticks[slot]["qty"] > params[0] else 0\n'
    )
    config = tmp_path / "server.toml"
    config.write_text(
        "[feed]\nline_a = { port = 1 }\n"
        f'[oms]\nstore_dir = "{tmp_path}/store"\nallowed = ["OMS1"]\n'
        f'[[patterns]]\nname = "mine"\nfunction = "{tmp_path}/mine.py:quiet"\n'
        "params = { limit = 5 }\n"
    )
    # The second start takes the compiled function from the cache, by the name of its module.
    for _ in range(2):
        result = run_program("feedhandler.server", "check-config", config)
        assert (result.returncode, result.stderr) == (0, "")


def test_an_exchange_that_could_not_write_its_files_is_refused_at_start(tmp_path: Path):
    config = tmp_path / "exchange.toml"
    config.write_text(
        f'status_file = "{tmp_path}/missing/status.json"\n[line_a]\nport = 1\n[line_b]\nport = 2\n'
    )
    refused = run_here("tools.exchange", "run", "--config", config)
    assert refused.returncode == 73
    assert "status_file: cannot write" in refused.stderr
    words = ("generate", "--messages", 1000, "--out", tmp_path / "no/x")
    lost = run_here("tools.exchange", *words)
    assert lost.returncode == 73
    assert len(lost.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--seconds", "0"), 'Invalid value "0" for --seconds. Must be >= 1.'),
        (("--loss", "1.5"), 'Invalid value "1.5" for --loss. Must be <= 0.99.'),
        (("--shards", "65"), 'Invalid value "65" for --shards. Must be <= 64.'),
        (("--late-start", "-1"), 'Invalid value "-1" for --late-start. Must be >= 0.'),
        (("--topology", "round"), "--topology"),
        (("--rat", "5"), "--rate"),
    ],
)
def test_a_wrong_option_of_the_demo_is_one_line_and_usage(words: tuple[str, ...], named: str):
    done = run_here("feedhandler.server", "demo", *words)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
