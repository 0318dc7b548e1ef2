"""What the tests of the command share."""

import pytest

from feedhandler.server.errors import run_cli
from tests.unit.tools.replay.support import Run
from tools.replay.command import app


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`feedhandler replay` with these words: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        words = [str(argument) for argument in arguments]
        code = run_cli(lambda: app(words, result_action="return_value", exit_on_error=False))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
