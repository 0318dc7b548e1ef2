"""Who watches what: filters, the bounded queue of a subscription, and shares of a stream.

A queue that is full is *conflated* (of each instrument and kind the newest message stays, until the
queue has been emptied; where even those are too many, the oldest goes), loses its oldest message
(*drop*) or is *cut*, as the subscription says. Nobody waits for anybody here: to put is a few
operations, whoever reads or not.
"""

import fnmatch
import hashlib
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from feedhandler.server.hub_messages import (
    SIGNAL_KINDS,
    Behind,
    Deal,
    Message,
    Notice,
    Policy,
    Totals,
    WatchKind,
)

_GLOB = re.compile(r"[*?\[]")
_SYMBOLS_KEPT = 65_536


@dataclass
class Tally:
    """What has been counted over all clients since the start."""

    sent: int = 0
    conflated: int = 0
    dropped: int = 0
    cut: int = 0
    missed: int = 0
    refused_clients: int = 0
    commands: dict[str, int] = field(default_factory=dict)
    disconnected: dict[str, int] = field(default_factory=dict)


class Event:
    """A message on its way to any number of watchers; written as JSON once, when first asked for.

    `name` is its symbol, or its feed's name; `source` the pattern or breaker, "" where none made
    it. Of events of the same `key` the newest says all.
    """

    __slots__ = ("_wire", "key", "kind", "message", "name", "source")

    def __init__(
        self, kind: WatchKind, name: str, message: Message, source: str = "", detail: object = ""
    ) -> None:
        """`detail` tells apart what must not replace each other in spite of kind and name."""
        self.kind = kind
        self.name = name
        self.source = source
        self.message = message
        self.key = (kind, name, detail)
        self._wire = b""

    @property
    def wire(self) -> bytes:
        """The message as JSON."""
        if not self._wire:
            self._wire = msgspec.json.encode(self.message)
        return self._wire


class Delivery(NamedTuple):
    """Message `n`, counted from 1, of those that were for a subscription: a jump in `n` is what was
    conflated or dropped.
    """

    sub: int
    n: int
    event: Event


Item = Delivery | Notice


def to_line(item: Item | msgspec.Struct) -> bytes:
    """One line, its end included."""
    if isinstance(item, Delivery):
        return b'{"sub":%d,"n":%d,%b\n' % (item.sub, item.n, item.event.wire[1:])
    return msgspec.json.encode(item) + b"\n"


class Matcher:
    """Whether a name is one of several, or like one of several with `*`, `?` or `[...]`; none given
    means every one.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        globs = [name for name in self.names if is_glob(name)]
        self.exact = frozenset(self.names) - frozenset(globs)
        self.is_open = bool(globs) or not self.names
        self._globs = re.compile("|".join(map(fnmatch.translate, globs))) if globs else None

    def __call__(self, name: str) -> bool:
        """Whether it fits."""
        if not self.names or name in self.exact:
            return True
        return self._globs is not None and self._globs.match(name) is not None


def is_glob(name: str) -> bool:
    """Whether a name stands for others."""
    return _GLOB.search(name) is not None


class Filter:
    """What a subscription is about: everything that is named must fit."""

    def __init__(
        self, kinds: Sequence[WatchKind], symbols: Sequence[str], patterns: Sequence[str]
    ) -> None:
        self.kinds = tuple(kinds)
        self.symbols = Matcher(symbols)
        self.patterns = Matcher(patterns)

    def takes(self, event: Event) -> bool:
        """Whether this event is for it."""
        if event.kind not in self.kinds:
            return False
        if event.kind in SIGNAL_KINDS and not self.patterns(event.source):
            return False
        return event.kind == "feed" or self.symbols(event.name)

    def is_same(self, other: "Filter") -> bool:
        """Whether both are about the same."""
        return all(
            set(ours) == set(theirs)
            for ours, theirs in (
                (self.kinds, other.kinds),
                (self.symbols.names, other.symbols.names),
                (self.patterns.names, other.patterns.names),
            )
        )


class Subscription:
    """A filter and a queue of at most `limit` messages. `wake` is called whenever there may be
    something to take; it must not take at once.
    """

    def __init__(
        self,
        number: int,
        takes: Filter,
        policy: Policy,
        limit: int,
        wake: Callable[[], None],
        tally: Tally,
    ) -> None:
        self.number = number
        self.filter = takes
        self.policy = policy
        self.limit = limit
        self.share: Share | None = None
        self.matched = 0
        self.delivered = 0
        self.conflated = 0
        self.dropped = 0
        self._wake = wake
        self._tally = tally
        self._queue: deque[Delivery] = deque()
        self._newest: OrderedDict[object, Delivery] | None = None
        self._told = (0, 0)
        self._missed = 0

    @property
    def queued(self) -> int:
        """Messages that wait."""
        return len(self._queue if self._newest is None else self._newest)

    @property
    def totals(self) -> Totals:
        """What became of its messages."""
        return Totals(
            sub=self.number,
            matched=self.matched,
            delivered=self.delivered,
            conflated=self.conflated,
            dropped=self.dropped,
        )

    def put(self, event: Event) -> "Subscription | None":
        """Take an event that is for it; itself when there was no room and it is to be cut, without
        the event.
        """
        if self._newest is None and len(self._queue) >= self.limit:
            if self.policy == "cut":
                return self
            self._make_room()
        self.matched += 1
        delivery = Delivery(self.number, self.matched, event)
        if self._newest is None:
            self._queue.append(delivery)
        else:
            self._replace(delivery)
        self._wake()
        return None

    def _make_room(self) -> None:
        """The queue is full: drop the oldest, or keep the newest of each key from now on."""
        if self.policy == "drop":
            self._queue.popleft()
            self.drop(1)
            return
        self._newest = OrderedDict()
        for delivery in self._queue:
            self._replace(delivery)
        self._queue.clear()

    def _replace(self, delivery: Delivery) -> None:
        """Keep it instead of an older one of its key, or of the oldest."""
        newest = self._newest
        if newest is None:
            return
        if newest.pop(delivery.event.key, None) is not None:
            self.conflated += 1
            self._tally.conflated += 1
        elif len(newest) >= self.limit:
            newest.popitem(last=False)
            self.drop(1)
        newest[delivery.event.key] = delivery

    def drop(self, count: int) -> None:
        """Count messages that nobody gets."""
        self.dropped += count
        self._tally.dropped += count

    def miss(self, count: int) -> None:
        """So many signals passed unseen, before anybody knew whom they were for."""
        self._missed += count
        self._wake()

    def take(self, count: int) -> list[Item]:
        """Up to `count` messages in their order, and before them, if it fell behind since the last
        time, a word about that.
        """
        items: list[Item] = []
        if self._missed or (self.conflated, self.dropped) != self._told:
            conflated, dropped = self._told
            items.append(
                Behind(
                    sub=self.number,
                    conflated=self.conflated - conflated,
                    dropped=self.dropped - dropped,
                    missed=self._missed,
                )
            )
            self._told, self._missed = (self.conflated, self.dropped), 0
        taken: list[Delivery] = []
        if self._newest is not None:
            while self._newest and len(taken) < count:
                taken.append(self._newest.popitem(last=False)[1])
            if not self._newest:
                self._newest = None
        else:
            while self._queue and len(taken) < count:
                taken.append(self._queue.popleft())
        self.delivered += len(taken)
        self._tally.sent += len(taken)
        return [*items, *taken]

    def empty(self) -> list[Event]:
        """Take out what waits, undelivered."""
        waiting = self._queue if self._newest is None else self._newest.values()
        events = [delivery.event for delivery in waiting]
        self._queue.clear()
        self._newest = None
        return events


class Share:
    """Subscriptions under one name, all about the same: each event is dealt to one of them. By
    `instrument`, one of them has all events of a symbol, in order, and when one leaves only its
    symbols move; by `message`, it is the one that has least to do.
    """

    def __init__(self, name: str, takes: Filter, deal: Deal) -> None:
        self.name = name
        self.filter = takes
        self.deal = deal
        self.members: list[Subscription] = []
        self._by_symbol: dict[str, Subscription] = {}
        self._turn = 0

    def join(self, member: Subscription) -> None:
        """One more."""
        member.share = self
        self.members.append(member)
        self._by_symbol.clear()

    def leave(self, member: Subscription) -> None:
        """One less."""
        self.members.remove(member)
        self._by_symbol.clear()

    def put(self, event: Event) -> Subscription | None:
        """Deal an event out; the member that had no room for it and is to be cut."""
        if self.deal == "message":
            return self._least_busy().put(event)
        member = self._by_symbol.get(event.name)
        if member is None:
            if len(self._by_symbol) >= _SYMBOLS_KEPT:
                self._by_symbol.clear()
            member = max(self.members, key=lambda each: _weight(event.name, each.number))
            self._by_symbol[event.name] = member
        return member.put(event)

    def _least_busy(self) -> Subscription:
        """The member with the shortest queue; of several, each in its turn."""
        self._turn = (self._turn + 1) % len(self.members)
        members = [*self.members[self._turn :], *self.members[: self._turn]]
        return min(members, key=lambda each: each.queued)


def _weight(name: str, number: int) -> int:
    """Of a member for a symbol: the highest gets it (rendezvous hashing), so that no symbol moves
    but those of a member that left or came.
    """
    mixed = hashlib.blake2b(b"%d/%b" % (number, name.encode()), digest_size=8)
    return int.from_bytes(mixed.digest())
