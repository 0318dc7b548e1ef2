"""Compile once before the first process starts: none of them should wait for the compiler."""

import pytest

from feedhandler.server.warmup import warm_up

pytest.register_assert_rewrite("tests.end_to_end.support")


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    warm_up()
