"""What patterns see of other feeds: best prices out of the table of all feeds, looked at between
two ticks.

    other feed's shard ──► cell of `Quotes` ──► market[leg], a tick of kind AWAY_QUOTE ──► patterns

A price that changes twice between two looks is seen once, as it is then. Whether the pattern's own
feed is live, and its books were replaced, is asked for here, as no message of that feed says so: by
what its receiving thread shows, of which the ticks that still wait in lanes may tell more.

What a feed shows when its doubt is over goes into the rows alone: those prices are as old as their
stamps say, and nobody saw them for how long. So does another level of its breakers, which brings no
prices. The next tick of either feed is looked at with them.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import Sender
from feedhandler.core.atomics import load_acquire
from feedhandler.core.away import AWAY_BITS, AwayWord, feed_of_leg_nb
from feedhandler.core.counts import Count
from feedhandler.core.engine import count_nb
from feedhandler.core.evaluate import run_bound_nb
from feedhandler.core.events import FEED_SHIFT, Flag, Kind
from feedhandler.core.features import market_flags_nb
from feedhandler.core.functions import Meta, bind_instrument_nb
from feedhandler.core.market import MarketFlag
from feedhandler.core.quotes import (
    Cell,
    Quotes,
    cell_at_nb,
    is_live_nb,
    number_of_nb,
    place_of_nb,
    read_cell_nb,
    shown_level_nb,
)
from feedhandler.core.shard import Sampling, Setting, Shard
from feedhandler.core.states import State
from protocols.jit import kernel, outline_kernel

_NO_PLACE = _UNSEEN = -1
_SHOWN, _TOLD = 1, 2


@kernel
def _cell_of_nb(quotes: Quotes, key: int) -> int:
    """Where the cell of an away leg begins; -1 where there is no table, or no place in it."""
    if quotes.meta[0] == 0:
        return np.int64(_NO_PLACE)
    place = place_of_nb(quotes, key & ~np.int64(AWAY_BITS))
    return cell_at_nb(quotes, place, feed_of_leg_nb(key)) if place >= 0 else np.int64(_NO_PLACE)


@outline_kernel
def _bind_away_nb(shard: Shard) -> None:
    """Find the away legs among what patterns choose, and give each of them an instrument."""
    away, functions = shard.away, shard.patterns
    count = np.int64(0)
    for i in range(functions.meta[Meta.SYMBOLS]):
        key = functions.symbols[i]
        if key & AWAY_BITS and count < away.words[AwayWord.ROOM]:
            away.keys[count] = key
            away.feeds[count] = feed_of_leg_nb(key)
            away.places[count] = _cell_of_nb(shard.quotes, key)
            away.versions[count] = away.flags[count] = _UNSEEN
            leg = len(shard.numbers) + count
            row = shard.market[leg]
            row["seq"] = row["bid_qty"] = row["ask_qty"] = row["mid_e9"] = 0
            row["flags"] = MarketFlag.IN_DOUBT
            row["level"] = 0
            bind_instrument_nb(functions, leg, key, np.int64(0))
            count += 1
    away.words[AwayWord.COUNT] = count
    away.words[AwayWord.IS_UNBOUND] = 0


@kernel
def _show_leg_nb(shard: Shard, k: int, slot: int) -> None:
    """Into market and ticks[slot] the cell that was read, of away leg k."""
    away, own_feed = shard.away, shard.settings[Setting.FEED]
    cell, leg = away.cell, len(shard.numbers) + k
    away.numbers[k] = number_of_nb(cell) | away.feeds[k] << FEED_SHIFT
    tick, row = shard.ticks[slot], shard.market[leg]
    tick["kind"], tick["feed"], tick["instrument"] = Kind.AWAY_QUOTE, own_feed, leg
    channel = shard.channel[0]
    is_live = is_live_nb(shard.quotes, own_feed) and channel["state"] == State.LIVE
    in_doubt = np.int64(not is_live or channel["suspect"] != 0)
    tick["flags"] = in_doubt * Flag.IN_DOUBT
    tick["ts_rx_ns"] = tick["ts_decoded_ns"] = cell[Cell.TS_RX_NS]
    # What stands behind all that this feed has brought so far.
    tick["seq"] = row["seq"] = max(np.int64(channel["next_seq"]) - 1, np.int64(1))
    tick["ts_exch_ns"] = row["ts_exch_ns"] = cell[Cell.TS_EXCH_NS]
    tick["bid_price_e9"] = row["bid_price_e9"] = cell[Cell.BID_E9]
    tick["bid_qty"] = row["bid_qty"] = cell[Cell.BID_QTY]
    tick["ask_price_e9"] = row["ask_price_e9"] = cell[Cell.ASK_E9]
    tick["ask_qty"] = row["ask_qty"] = cell[Cell.ASK_QTY]
    is_whole = (cell[Cell.BID_QTY] > 0) & (cell[Cell.ASK_QTY] > 0)
    row["mid_e9"] = ((cell[Cell.BID_E9] + cell[Cell.ASK_E9]) >> 1) * np.int64(is_whole)
    row["flags"] = away.flags[k]
    row["epoch"] = load_acquire(shard.epoch, np.int64(0))


@kernel
def _has_news_nb(shard: Shard, k: int) -> int:
    """TOLD when the cell of away leg k, or whether its feed is live, is not as it was last seen, or
    SHOWN when a doubt is over or the level of its breakers alone has changed; then it is in
    `away.cell`.
    """
    away, quotes, row = shard.away, shard.quotes, shard.market[len(shard.numbers) + k]
    at = away.places[k]
    if at < 0:
        return 0
    in_doubt = np.int64(1 - is_live_nb(quotes, away.feeds[k]))
    was_in_doubt = away.flags[k] & MarketFlag.IN_DOUBT
    version = load_acquire(quotes.cells, at)
    is_as_before = version == away.versions[k] and in_doubt == was_in_doubt
    level = shown_level_nb(quotes, at)
    # One that is being written is whole at the next look.
    if (is_as_before and row["level"] == level) or version & 1:
        return 0
    row["level"] = level
    read_cell_nb(quotes, at, away.cell)
    # Prices may have come since the look at the version.
    is_as_before = is_as_before and away.cell[Cell.VERSION] == version
    away.versions[k] = away.cell[Cell.VERSION]
    halted = market_flags_nb(away.cell[Cell.FLAGS] & Flag.HALTED)
    away.flags[k] = halted | in_doubt * MarketFlag.IN_DOUBT
    if away.cell[Cell.VERSION] == 0:
        return 0
    return _SHOWN if is_as_before or was_in_doubt > in_doubt else _TOLD


@outline_kernel
def hear_away_nb(shard: Shard, places: Any, sender: Sender) -> int:
    """Run the patterns that look at other feeds on what has changed there; how many quotes did.
    `places` are those of breakers and patterns.
    """
    away = shard.away
    if away.words[AwayWord.IS_UNBOUND]:
        _bind_away_nb(shard)
    heard = np.int64(0)
    slot = len(shard.ticks) - 1
    for k in range(away.words[AwayWord.COUNT]):
        news = _has_news_nb(shard, k)
        if news:
            _show_leg_nb(shard, k, slot)
        if news == _TOLD:
            wanted = np.int64(shard.patterns.wanted_by[len(shard.numbers) + k])
            shard.sending_ns[0] = 0
            shard.sampling[Sampling.IS_TIMED] = shard.settings[Setting.TIMED]
            run_bound_nb(shard, places, sender, wanted, slot)
            shard.sampling[Sampling.INSIDE] = 0
            heard += 1
    count_nb(shard, Count.AWAY_QUOTES, heard)
    return heard
