"""All outlets of a server, and the `Sender` that the hot thread gets for them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from feedhandler.core.api import Sender, make_sender
from oms_out.kernels_outlet import (
    check_of_nb,
    read_word_nb,
    send_signal_nb,
    take_nb,
    write_word_nb,
)
from oms_out.outlet import Outlet
from oms_out.outlet_layout import (
    OUTLET_WORDS,
    OUTLETS_MAX,
    SLOT_BYTES,
    SOURCES_MAX,
    TEXT_BYTES,
    TEXT_MAX,
    Word,
)
from oms_out.store import FileStore
from protocols.fix.rules import SessionSettings


class Outlets:
    """Memory of up to OUTLETS_MAX outlets; those that are opened are the first ones."""

    def __init__(self, source_names: Sequence[str]) -> None:
        """None is open; `source_names` by the index of the pattern or breaker."""
        self._words = np.zeros((OUTLETS_MAX, OUTLET_WORDS), np.int64)
        self._texts = np.zeros((SOURCES_MAX + 2 * OUTLETS_MAX, TEXT_BYTES), np.uint8)
        self._scratch = np.zeros(SLOT_BYTES, np.uint8)
        self._opened: list[Outlet] = []
        self.name_sources(source_names)

    def name_sources(self, source_names: Sequence[str]) -> None:
        """These are the names from now on. Of a source whose name changes no signal may be on its
        way; a signal of a source without a text is left to the ring.
        """
        for row, name in enumerate(source_names[:SOURCES_MAX]):
            self._put_text(row, name.encode())

    def open(self, folder: Path, store: FileStore, settings: SessionSettings) -> Outlet:
        """The outlet of one more session, which is not hot when there are too many or its SubIDs
        too long: then it is there for what an earlier process left in its slots. StoreError and
        OSError as of `Outlet`.
        """
        at, identity = len(self._opened), settings.identity
        if at == OUTLETS_MAX or max(len(identity.comp_ids), len(identity.sub_ids)) > TEXT_MAX:
            outlet = Outlet(folder, store, np.zeros(OUTLET_WORDS, np.int64), settings.time_decimals)
            outlet.is_hot = False
            return outlet
        outlet = Outlet(folder, store, self._words[at], settings.time_decimals)
        self._put_text(SOURCES_MAX + 2 * at, identity.comp_ids)
        self._put_text(SOURCES_MAX + 2 * at + 1, identity.sub_ids)
        self._opened.append(outlet)
        return outlet

    def allow_ids(self, limit: int) -> None:
        """Signal ids below `limit` may leave."""
        for outlet in self._opened:
            outlet.allow_ids(limit)

    def sender(self) -> Sender:
        """What the thread that makes signals calls for each of them."""
        words = self._words[: len(self._opened)]
        return make_sender(send_signal_nb, words, self._texts, self._scratch)

    def _put_text(self, row: int, text: bytes) -> None:
        if len(text) <= TEXT_MAX:
            self._texts[row, 0] = len(text)
            self._texts[row, 1 : 1 + len(text)] = np.frombuffer(text, np.uint8)


def warm_up_outlets() -> None:
    """Compile what both sides of an outlet call."""
    Outlets(()).sender()
    words, slot = np.zeros(OUTLET_WORDS, np.int64), np.zeros(SLOT_BYTES, np.uint8)
    take_nb(words)
    write_word_nb(words, Word.TAKEN, 0)
    read_word_nb(words, Word.TAKEN)
    check_of_nb(slot, 1, 1, 1)
