from collections.abc import Callable

import pytest

from feedhandler.server.errors import run_cli
from tools.strategy.command import app

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`feedhandler strategy test` with these words: exit code, standard output, standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        texts = ["test", *map(str, words)]
        code = run_cli(lambda: app(texts, result_action="return_value", exit_on_error=False))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
