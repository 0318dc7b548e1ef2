"""Every command that a page shows exists with its options; a wrong one ends with 2 and a line."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from feedhandler.server import __main__ as feedhandler_cli
from tests.programs import run_here
from tools.exchange.__main__ import app as exchange_app
from tools.oms_client.__main__ import _parser

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FOREIGN = {"curl", "git", "cd", "prometheus", "promtool", "tcpdump", "cat", "head", "mkdir"}
ASSIGNMENT = re.compile(r"[A-Z_]+=")
MODULES = {
    "feedhandler": "feedhandler.server",
    "exchange": "tools.exchange",
    "oms-client": "tools.oms_client",
}


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Each line of each block marked sh, as words, with the page on which it stands."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for line in block.replace(" && ", "\n").splitlines():
                words = shlex.split(line, comments=True)
                while words and ASSIGNMENT.match(words[0]):
                    words = words[1:]
                if words:
                    yield page.name, words


COMMANDS = list(shown_commands())


@pytest.fixture(scope="module")
def feedhandler_app() -> App:
    if "replay" not in feedhandler_cli.app:
        feedhandler_cli._add_found_commands([])
    return feedhandler_cli.app


def check(app: App, words: list[str]) -> None:
    app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(("_page", "words"), COMMANDS)
def test_a_command_that_a_page_shows_can_be_parsed(
    _page: str, words: list[str], feedhandler_app: App
):
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "make":
        assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in arguments)
    elif program == "feedhandler":
        check(feedhandler_app, arguments)
    elif program == "exchange":
        check(exchange_app, arguments)
    elif program == "oms-client":
        assert _parser().parse_args(arguments).port > 0
    elif program == "python":
        assert arguments[0] == "-m"
        assert (ROOT / arguments[1].replace(".", "/")).with_suffix(".py").is_file()
    else:
        assert program in FOREIGN


def test_the_readme_shows_every_program():
    shown = [words[0] for page, words in COMMANDS if page == "README.md"]
    programs = {word.removeprefix(".venv/bin/") for word in shown}
    assert {"make", *MODULES} <= programs


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("feedhandler", ["bogus"]),
        ("feedhandler", ["serve", "--bogus"]),
        ("exchange", ["bogus"]),
        ("exchange", ["run"]),
        ("oms-client", ["--bogus"]),
        ("oms-client", ["--port", "abc"]),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(program: str, arguments: list[str]):
    done = run_here(MODULES[program], *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program}: error: ")
    assert f"{program} --help" in line
