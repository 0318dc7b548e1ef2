"""Compile once before the first process starts: none of them should wait for the compiler."""

import pytest

from feedhandler.server.warmup import warm_up
from tools.exchange.warmup import warm_up_live_market, warm_up_market

pytest.register_assert_rewrite("tests.end_to_end.support", "tests.end_to_end.pair")


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    warm_up()


@pytest.fixture(scope="session")
def live_market(compiled_kernels: None) -> None:
    """What a day of a market needs besides."""
    warm_up_market()
    warm_up_live_market()
