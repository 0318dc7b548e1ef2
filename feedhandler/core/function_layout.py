"""Where each function's state and bindings lie: at start, and again for each reload, which leaves
in its place the state of what stays the same.

A function keeps its number as long as it is configured. What it had in the layout before is not
touched while another one is laid out: a worker may still use it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from feedhandler.core.away import legs_on_feed
from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.functions import Bound, Fn, Functions, Meta, Room, Use, allocate_arrays

_UNKNOWN_LEG = -1
_ALL_KINDS = -1


class Layout(NamedTuple):
    """Functions by number, None for a number that nobody has; where the state of each one's first
    instrument, or of each of its bindings, begins; and which words of state are new with it.
    """

    uses: tuple[Use | None, ...] = ()
    places: tuple[tuple[int, ...], ...] = ()
    fresh: tuple[tuple[int, int], ...] = ()


class LayoutError(ValueError):
    """The functions do not fit the memory that was taken at start; the text says what lacks."""


def lay_out(
    uses: Sequence[Use | None],
    instruments: int,
    before: Layout = Layout(),  # noqa: B008 - it never changes
    state_words: int = 1 << 62,
) -> Layout:
    """Places within `state_words` words of state. LayoutError when there are too few."""
    gaps = _gaps(before, instruments, state_words)
    fresh: list[tuple[int, int]] = []
    places: list[tuple[int, ...]] = []
    for number, use in enumerate(uses):
        own: list[int] = []
        kept = _kept_places(before, number, use) if use else {}
        for binding in _bindings(use):
            size = _size(use, instruments)
            if binding in kept:
                own.append(kept[binding])
            else:
                own.append(_take(gaps, size))
                fresh.append((own[-1], size))
        places.append(tuple(own))
    return Layout(tuple(uses), tuple(places), tuple(fresh))


def _bindings(use: Use | None) -> list[tuple[int, ...]]:
    """Choices of symbols; one of none stands for each instrument alone."""
    if use is None:
        return []
    return [tuple(each) for each in use.bindings] or [()]


def _size(use: Use | None, instruments: int) -> int:
    """Words of state behind each place."""
    if use is None:
        return 0
    return use.stride * (1 if use.bindings else instruments)


def _kept_places(before: Layout, number: int, use: Use) -> dict[tuple[int, ...], int]:
    """Where the state of each choice was, if the number's function is the same one."""
    was = before.uses[number] if number < len(before.uses) else None
    if was is None or (was.function, was.state_words, was.stride) != (
        use.function, use.state_words, use.stride,
    ):  # fmt: skip
        return {}
    return dict(zip(_bindings(was), before.places[number], strict=True))


def _gaps(before: Layout, instruments: int, state_words: int) -> list[list[int]]:
    """[begin, end] of what no function has."""
    taken = sorted(
        (at, at + _size(use, instruments))
        for use, places in zip(before.uses, before.places, strict=True)
        for at in places
    )
    gaps = []
    begin = 0
    for at, end in taken:
        if at > begin:
            gaps.append([begin, at])
        begin = end
    return [*gaps, [begin, state_words]]


def _take(gaps: list[list[int]], size: int) -> int:
    for gap in gaps:
        if gap[1] - gap[0] >= size:
            gap[0] += size
            return gap[0] - size
    free = sum(end - begin for begin, end in gaps)
    raise LayoutError(f"state: {size} words more are needed together, {free} are free")


def sizes_of(layout: Layout, instruments: int) -> Room:
    """What the functions of a layout need."""
    bound = [choice for use in layout.uses if use for choice in use.bindings]
    ends = [
        at + _size(use, instruments)
        for use, places in zip(layout.uses, layout.places, strict=True)
        for at in places
    ]
    return Room(len(bound), sum(map(len, bound)), max(ends, default=0))


def allocate_functions(
    uses: Sequence[Use],
    instruments: int,
    room: Room = Room(),  # noqa: B008 - it never changes
    feed: int = 0,
    away: int = 0,
) -> Functions:
    """Rows and state of functions that are used so by the engine of a feed, which looks at up to
    `away` instruments on others, and room for others.
    """
    layout = lay_out(uses, instruments)
    sizes = sizes_of(layout, instruments)
    whole = Room(*(own + more for own, more in zip(sizes, room, strict=True)))
    functions = allocate_arrays(whole, instruments + away)
    write_rows(functions, layout)
    write_bindings(functions, layout, {}, feed)
    return functions


def write_rows(functions: Functions, layout: Layout) -> None:
    """A row for each function, and the kinds of tick for which one of those is called that are
    bound to each instrument alone.
    """
    functions.meta[Meta.KINDS] = 0
    for number in range(FUNCTIONS_MAX):
        row = functions.rows[number]
        row[:] = 0
        use = layout.uses[number] if number < len(layout.uses) else None
        if use is not None:
            row[Fn.STATE_AT] = layout.places[number][0]
            row[Fn.STATE_WORDS], row[Fn.STRIDE] = use.state_words, use.stride
            row[Fn.COOLDOWN_NS], row[Fn.BUDGET_NS] = use.cooldown_ns, use.budget_ns
            row[Fn.EVERYWHERE], row[Fn.KINDS] = use.everywhere, use.kinds
            if not use.bindings and not use.asked:
                functions.meta[Meta.KINDS] |= use.kinds or _ALL_KINDS


def bound_choices(layout: Layout, feed: int) -> list[tuple[int, tuple[int, ...], int]]:
    """The choices of legs that are the engine's of this feed, as it has them: (function, choice,
    where its state begins).
    """
    found = []
    for number, use in enumerate(layout.uses):
        for choice, place in zip(use.bindings if use else (), layout.places[number], strict=False):
            own = legs_on_feed(choice, feed)
            if own is not None:
                found.append((number, own, place))
    return found


def write_bindings(
    functions: Functions, layout: Layout, instrument_of: Mapping[int, int], feed: int
) -> None:
    """Which functions are bound to each instrument alone; rows of the other bindings of this feed's
    engine, their legs, and which cells each symbol has; `instrument_of` is what is known of the
    symbols. LayoutError when the arrays are too short.
    """
    wild = [
        number
        for number, use in enumerate(layout.uses)
        if use and not use.bindings and not use.asked
    ]
    asked = [use for use in layout.uses if use and use.asked]
    bound = bound_choices(layout, feed)
    legs = sum(len(choice) for _, choice, _ in bound)
    for what, needed, there in (
        ("bindings", len(bound), len(functions.bindings)),
        ("legs", legs, len(functions.legs)),
    ):
        if needed > there:
            raise LayoutError(f"{what}: {needed} are needed, there is room for {there}")
    wanted: dict[int, list[tuple[int, int]]] = {}
    at = 0
    for number, (function, choice, place) in enumerate(bound):
        row = functions.bindings[number]
        row[Bound.FUNCTION], row[Bound.STATE_AT] = function, place
        row[Bound.LEGS_AT], row[Bound.LEGS] = at, len(choice)
        row[Bound.MISSING] = sum(symbol not in instrument_of for symbol in choice)
        for symbol in choice:
            wanted.setdefault(symbol, []).append((number, at))
            functions.legs[at] = instrument_of.get(symbol, _UNKNOWN_LEG)
            at += 1
    end = 0
    symbols = sorted(wanted)
    for place, symbol in enumerate(symbols):
        functions.symbols[place], functions.first[place] = symbol, end
        cells = wanted[symbol]
        functions.cells[end : end + len(cells)] = cells
        end += len(cells)
    functions.first[len(symbols)] = end
    functions.wild[: len(wild)] = wild
    meta = functions.meta
    meta[Meta.FUNCTIONS], meta[Meta.WILD] = len(layout.uses) - len(asked), len(wild)
    meta[Meta.ASKED], meta[Meta.ASKS_NORMAL] = len(asked), any(use.always for use in asked)
    meta[Meta.SYMBOLS], meta[Meta.BINDINGS], meta[Meta.LEGS] = len(symbols), len(bound), legs
