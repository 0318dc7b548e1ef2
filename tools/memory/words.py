"""What each block of memory is for, and which key of the configuration sizes it."""

from collections.abc import Mapping
from typing import NamedTuple


class Why(NamedTuple):
    """What a block is for; `key` sizes it, "" where nothing does."""

    words: str
    key: str = ""


_ORDERS = "engine.orders"
_OVERFLOW = "engine.overflow_orders"
_RELOADED = "engine.reload_bindings"
_INSTRUMENTS = "engine.instruments"
_BLOCKS = "engine.level_blocks"
_ARENA = "engine.level_arena"
_TICKS = "engine.ticks"
_WINDOW = "engine.window_packets"
_SIGNALS = "engine.signal_ring"

ENGINE: Mapping[str, Why] = {
    "book.orders": Why(
        "reference, level and quantity of each order, by reference; behind them those that find"
        " their place taken",
        f"{_ORDERS}, {_OVERFLOW}",
    ),
    "book.stamps": Why("arrival of each of them", f"{_ORDERS}, {_OVERFLOW}"),
    "book.levels": Why("quantity and orders of 64 neighbouring prices a block", _BLOCKS),
    "book.blocks": Why("which of those prices are in use", _BLOCKS),
    "book.free_blocks": Why("blocks not in use", _BLOCKS),
    "book.near": Why("eight blocks of each side, found at once", _INSTRUMENTS),
    "book.ladders": Why("where the blocks of each side are listed", _INSTRUMENTS),
    "book.arena": Why("these lists", _ARENA),
    "book.free_rows": Why("stretches of them not in use"),
    "book.sides": Why("best level and price of each side", _INSTRUMENTS),
    "book.meta": Why("counts of the books"),
    "split.owned": Why("which instruments are this shard's, of several"),
    "split.roles.words": Why("how many other ones its functions look at"),
    "split.roles.taken": Why("which instruments the shard takes"),
    "split.roles.symbols": Why("symbols that functions look at together with others"),
    "split.roles.numbers": Why("their instruments"),
    "split.roles.always": Why("which of them every shard has to see"),
    "split.roles.home_at": Why("where the first legs of each begin"),
    "split.roles.homes": Why("first legs of the choices that have it"),
    "split.roles.member_at": Why("where those with this first leg begin"),
    "split.roles.members": Why("symbols of the choices that have this first leg"),
    "split.blocks": Why("where the messages of a chunk begin"),
    "split.offsets": Why("which of them this shard takes"),
    "broadcast.cursors": Why("ends of what is handed to several shards"),
    "broadcast.entries": Why("packets handed to them, in sequence"),
    "broadcast.kinds": Why("what each of those tells"),
    "broadcast.nexts": Why("where the sequence was at each"),
    "broadcast.payload": Why("their bytes"),
    "broadcast.fds": Why("what wakes each shard"),
    "quotes.keys": Why("symbols of the table of best prices of all feeds"),
    "quotes.cells": Why("best prices of each symbol on each feed"),
    "quotes.levels": Why("what breakers of each feed hold each symbol to"),
    "quotes.histories": Why("how those have changed, to tell feeds apart"),
    "quotes.states": Why("which feeds are good"),
    "quotes.meta": Why("how many feeds there are"),
    "quote_places": Why("where each instrument is in that table", _INSTRUMENTS),
    "window.entries": Why("packets ahead of their turn", _WINDOW),
    "window.payload": Why("their bytes", "engine.window_packets, engine.packet_bytes"),
    "window.free_slots": Why("places for more of them", _WINDOW),
    "window.meta": Why("counts of the window"),
    "channel": Why("state of the feed's sequence"),
    "packet": Why("the packet in hand"),
    "instruments": Why("symbol, volatility, VWAP and rates of each", _INSTRUMENTS),
    "priority.rules": Why("which messages are looked at first"),
    "priority.staged": Why("the same as it is to be next"),
    "priority.rows": Why("average size, volatility regime and watch list of each", _INSTRUMENTS),
    "priority.session": Why("when the market opened and closed"),
    "priority.newest": Why("newest quote of each in each lane", _INSTRUMENTS),
    "priority.turns": Why("whose turn it is in the lanes"),
    "settings": Why("what is fixed while the server runs"),
    "control": Why("words between the threads"),
    "ticks": Why("the pool of ticks", _TICKS),
    "free.cursors": Why("ends of the ring of free ticks"),
    "free.cells": Why("ring of free ticks", _TICKS),
    "clocks": Why("clocks of the threads, read from the processor's counter"),
    "spare": Why("free ticks that do not go round", "engine.ticks"),
    "stash": Why("free ticks at hand"),
    "stash_size": Why("how many those are"),
    "lane_cursors": Why("ends of the lanes"),
    "lane_cells": Why("16 lanes, each of which could hold every tick", _TICKS),
    "signals.cursors": Why("ends of the ring of signals"),
    "signals.cells": Why("signals on their way to the OMS sessions", _SIGNALS),
    "ranks": Why("where each signal stands among those of all shards"),
    "turn": Why("where the next one stands among those of its tick"),
    "epoch": Why("how often the books were replaced"),
    "breakers.meta": Why("how many breakers there are"),
    "breakers.rows": Why("limits of each breaker, and where its state is"),
    "breakers.params": Why("parameters of the breakers"),
    "breakers.state": Why("state of the breakers, for each choice of instruments", _INSTRUMENTS),
    "breakers.wild": Why("breakers for each instrument alone"),
    "breakers.bindings": Why("choices of instruments of the breakers"),
    "breakers.legs": Why("instruments of each choice"),
    "breakers.symbols": Why("symbols that breakers choose"),
    "breakers.first": Why("where each symbol's choices begin"),
    "breakers.cells": Why("choices of each symbol"),
    "breakers.wanted_by": Why("which breakers choose an instrument", _INSTRUMENTS),
    "cells.rows": Why("state of each breaker, by instrument where that is its scope", _INSTRUMENTS),
    "cells.first": Why("where each breaker's cells begin"),
    "cells.scope": Why("what each breaker's level holds for"),
    "cells.tuning": Why("times of each breaker"),
    "cells.active": Why("how many cells of each breaker hold a level"),
    "cells.held": Why("how many of all, and what is still to be told"),
    "cells.told": Why("level that was last told of each instrument", _INSTRUMENTS),
    "cells.told_by": Why("which breaker was named with it", _INSTRUMENTS),
    "cells.due": Why("whether a level is still to be told", _INSTRUMENTS),
    "cells.shown_as": Why("as which symbol patterns of other feeds see it", _INSTRUMENTS),
    "cells.awake": Why("how many of its own breakers are not normal", _INSTRUMENTS),
    "cells.sector_of": Why("sector of each instrument", _INSTRUMENTS),
    "cells.sector_symbols": Why("symbols in sectors"),
    "cells.sectors": Why("which sector each of them is in"),
    "command": Why("what an operator wants of the breakers"),
    "proposal": Why("the order that a response judges"),
    "patterns.meta": Why("how many patterns there are"),
    "patterns.rows": Why("limits of each pattern, and where its state is"),
    "patterns.params": Why("parameters of the patterns"),
    "patterns.state": Why(
        "state of the patterns, for each choice of instruments, and of later ones",
        "engine.instruments, engine.reload_functions, engine.reload_bindings",
    ),
    "patterns.wild": Why("patterns for each instrument alone"),
    "patterns.bindings": Why("choices of instruments of the patterns", _RELOADED),
    "patterns.legs": Why("instruments of each choice", _RELOADED),
    "patterns.symbols": Why("symbols that patterns choose", _RELOADED),
    "patterns.first": Why("where each symbol's choices begin", _RELOADED),
    "patterns.cells": Why("choices of each symbol", _RELOADED),
    "staged.tunings": Why("times of the breakers that a reload brings"),
    "staged.breakers.state": Why("nothing: state stays where it is"),
    "staged.breakers.wanted_by": Why("nothing: that stays where it is"),
    "staged.patterns.state": Why("nothing: state stays where it is"),
    "staged.patterns.wanted_by": Why("nothing: that stays where it is"),
    "staged.breakers.meta": Why("how many breakers a reload brings"),
    "staged.breakers.rows": Why("how it uses them"),
    "staged.breakers.params": Why("their parameters"),
    "staged.breakers.wild": Why("those of each instrument alone"),
    "staged.breakers.bindings": Why("choices of instruments of breakers: none"),
    "staged.breakers.legs": Why("instruments of those choices"),
    "staged.breakers.symbols": Why("symbols of those choices"),
    "staged.breakers.first": Why("where each symbol's choices begin"),
    "staged.breakers.cells": Why("choices of each symbol"),
    "staged.patterns.meta": Why("how many patterns a reload brings"),
    "staged.patterns.rows": Why("how it uses them"),
    "staged.patterns.params": Why("their parameters"),
    "staged.patterns.wild": Why("those of each instrument alone"),
    "staged.patterns.bindings": Why("choices of instruments a reload brings", _RELOADED),
    "staged.patterns.legs": Why("instruments of those choices", _RELOADED),
    "staged.patterns.symbols": Why("symbols of those choices", _RELOADED),
    "staged.patterns.first": Why("where each symbol's choices begin", _RELOADED),
    "staged.patterns.cells": Why("choices of each symbol", _RELOADED),
    "staged.breaker_places": Why("machine code of breakers that a reload brings"),
    "staged.pattern_places": Why("machine code of patterns that a reload brings"),
    "patterns.wanted_by": Why("which patterns choose an instrument", _INSTRUMENTS),
    "features.state": Why("analytics of each instrument, when a function looks", _INSTRUMENTS),
    "features.buckets": Why("parts of its window of variance", _INSTRUMENTS),
    "features.spans": Why("windows of the analytics"),
    "features.decay": Why("powers of the decay of rates"),
    "summaries.lengths": Why("how long bars are, and whether price statistics are kept"),
    "summaries.time_bars": Why("bars by time, when they are kept", _INSTRUMENTS),
    "summaries.volume_bars": Why("bars by volume, when they are kept", _INSTRUMENTS),
    "summaries.price_stats": Why("price statistics, when they are kept", _INSTRUMENTS),
    "seen": Why("what was known after each tick, when a function looks", _TICKS),
    "epochs": Why("books' age at each tick, when a function looks", _TICKS),
    "market": Why("what was last seen of each instrument, when a function looks", _INSTRUMENTS),
    "away.words": Why("how many instruments of other feeds patterns look at"),
    "away.keys": Why("which those are"),
    "away.feeds": Why("which feed each is on"),
    "away.places": Why("where each is in the table of best prices"),
    "away.versions": Why("its best prices that patterns were told last"),
    "away.flags": Why("whether it traded then, beyond doubt"),
    "away.numbers": Why("what signals name it by"),
    "away.cell": Why("the best prices in hand"),
    "numbers": Why("numbers of instruments", _INSTRUMENTS),
    "out": Why("what a breaker or pattern says of its decision"),
    "signal_count": Why("number of the last signal"),
    "sampling": Why("which ticks' functions are timed"),
    "leg_symbols": Why("symbols of the signal in hand"),
    "sending_ns": Why("time that the signals of the tick in hand took to send"),
    "counts": Why("counters, in the mapped counter file"),
    "histograms": Why("latency histograms, in the mapped counter file"),
    "snapshot": Why("the snapshot that is being loaded", "engine.snapshot_bytes"),
    "request": Why("the request for missing messages"),
    "types": Why("messages by type"),
    "bbo": Why("best prices that a replay records"),
    "bbo_count": Why("how many those are"),
    "watched": Why("copy of the book that /book shows"),
    "watched_info": Why("where in the feed it was copied"),
}
"""Blocks of the engine, by the names of `feedhandler.server.memory.blocks`."""

_RING = "engine.shard_ring"
_HANDED = {
    "broadcast.cursors": "engine.shards",
    "broadcast.entries": _RING,
    "broadcast.kinds": _RING,
    "broadcast.nexts": _RING,
    "broadcast.payload": "engine.shard_ring, engine.packet_bytes",
    "broadcast.fds": "engine.shards",
}
_OF_THE_CHANNEL = {
    name: why.key for name, why in ENGINE.items() if name.startswith(("window.", "snapshot"))
}

SEQUENCER: Mapping[str, Why] = {
    name: Why(why.words, (_HANDED | _OF_THE_CHANNEL).get(name, "")) for name, why in ENGINE.items()
}
"""The same of the sequencer before several shards, which has no books."""

SHARD: Mapping[str, Why] = {
    name: Why(why.words, "" if name in SEQUENCER and SEQUENCER[name].key else why.key)
    for name, why in ENGINE.items()
}
"""The same of each of those shards: what is the sequencer's is as small as can be."""

RECEIVER: Mapping[str, Why] = {
    "stream.buf": Why("bytes of a TCP connection that are not read yet", "feed.adapter"),
    "stream.out": Why("the packet that is made of them", "engine.packet_bytes"),
    "stream.told": Why("messages of the session for the event loop"),
    "stream.shared": Why("words shared with the event loop"),
    "stream.places": Why("where reading stands"),
    "stream.words": Why("the venue's state of the stream"),
    "stream.wakeup": Why("the word that wakes the event loop"),
    "fds": Why("sockets of the lines"),
    "batch.payload": Why("16 datagrams of each line", "engine.packet_bytes"),
    "batch.control": Why("the kernel's receive stamp of each"),
    "batch.headers": Why("what recvmmsg says of each"),
    "batch.iov": Why("where each of them goes"),
    "session": Why("the feed's session"),
    "sessions.left": Why("sessions before it, whose late packets are known"),
    "sessions.bases": Why("messages before each of those"),
    "sessions.other": Why("session of the packet in hand"),
    "sessions.waiting": Why("the session that waits for its turn"),
    "sessions.words": Why("messages of all sessions before it, and what goes with them"),
    "parsed": Why("header of the packet in hand"),
    "hole": Why("the hole that is asked for"),
    "line_next": Why("next sequence number of each line"),
    "pollfds": Why("what the thread sleeps on"),
    "work_pollfd": Why("the same for the worker"),
    "wakeup": Why("the word that wakes it"),
    "drained": Why("what a wake-up reads"),
}
"""Blocks of the receiver; those of a stream are next to nothing without one."""

FIX_FEED: Mapping[str, Why] = {
    "words": Why("state of the stream, and where the rest is"),
    "feed": Why("symbols, and live orders of feeds that name them", "engine.instruments"),
    "reading": Why("messages taken apart: fields, and rows of entries"),
    "room": Why("records of a message that are not in packets yet"),
}
"""Blocks of a feed of FIX market data, each with all that lies in it."""
