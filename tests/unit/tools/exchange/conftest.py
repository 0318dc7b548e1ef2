"""Fixtures of the exchange's tests."""

import pytest

from tools.exchange.warmup import warm_up_market


@pytest.fixture(scope="session")
def market_kernels() -> None:
    """Compiled by one process, while others that want them wait."""
    warm_up_market()
