"""The tape that a strategy is tested on: a day that is made for it, or a recorded one; and its
truth, where that lies beside it.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from feedhandler.server.errors import DataError
from tools.exchange.generate import changed_scenario, generate_day
from tools.exchange.market.scenario import load_scenario
from tools.exchange.warmup import warm_up_market

_NS_PER_US = 1_000
_TRUTH_KEYS = ("happened", "relations", "asked")


class Beside(NamedTuple):
    """The file of a second feed, and by how much later its messages arrive than their stamps say,
    as against the first one's.
    """

    path: Path
    lag_ns: int


class Tape(NamedTuple):
    """A file, what it is called in reports, the truth about it (None: not known), and the feed that
    is beside it, if one is.
    """

    path: Path
    title: str
    truth: Mapping[str, Any] | None
    beside: Beside | None = None

    def with_beside(self, path: Path | None, lag_us: int) -> "Tape":
        """The same with a second feed: a file, or this one once more, so much later."""
        if path is not None and not path.is_file():
            raise DataError(f"{path}: no such file; --beside is a recording, as --tape")
        title = f"{self.title}, beside {path or 'itself'}, which comes {lag_us} us later"
        beside = Beside(path or self.path, lag_us * _NS_PER_US)
        return self._replace(title=title, beside=beside)


@contextmanager
def made_day(scenario: str, seed: int, messages: int | None, symbols: int | None) -> Iterator[Tape]:
    """A day of a scenario, in a folder that is gone afterwards. UserError for one that is none."""
    day = changed_scenario(load_scenario(scenario), messages, symbols)
    warm_up_market()
    with tempfile.TemporaryDirectory(prefix="strategy-test-") as folder:
        path = Path(folder) / "day.itch"
        generate_day(day, seed, path)
        yield Tape(path, f"{scenario}, seed {seed}", _read_truth(path))


def recorded(path: Path) -> Tape:
    """A file, with the truth that `exchange generate` writes beside one, if it is there."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; --tape is a recording, as for feedhandler replay")
    return Tape(path, str(path), _read_truth(path))


def _read_truth(path: Path) -> Mapping[str, Any] | None:
    file = Path(f"{path}.truth.json")
    if not file.is_file():
        return None
    try:
        truth: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    except (msgspec.DecodeError, OSError) as error:
        raise DataError(f"{file}: not a truth that can be read: {error}") from None
    # A steady flow has a truth as well, in which nothing happens.
    return truth if all(key in truth for key in _TRUTH_KEYS) else None
