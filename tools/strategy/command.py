"""`feedhandler strategy test`: a pattern, definition or breaker over a day whose truth is known."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from feedhandler.server.errors import ExitCode, UserError
from feedhandler.server.functions import bindings_of
from tools.strategy.planted import (
    KINDS,
    natural_feeds,
    natural_legs,
    natural_market,
    natural_params,
    read_planted,
)
from tools.strategy.play import Cost, Played, measure, play
from tools.strategy.plot import check_plot, write_plot
from tools.strategy.report import (
    as_object,
    detections_as_objects,
    missed_as_objects,
    print_report,
)
from tools.strategy.score import Score, as_detections, score, watched
from tools.strategy.subject import Subject, parse_params, read_subject
from tools.strategy.tape import Tape, made_day, recorded

app = App(name="strategy", help="Test patterns, definitions and breakers on days that are known.")

_TIMES_MAX = 100


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Day:
    """The day that is made, or the recording."""

    scenario: Annotated[
        str,
        Parameter(
            help="Make a day of it: one that `exchange scenarios` lists, or a file ending in .toml."
        ),
    ] = ""
    seed: Annotated[int, Parameter(help="Of that day.", validator=Number(gte=0))] = 1
    messages: Annotated[
        int | None, Parameter(help="About so many; as the scenario says.", validator=Number(gte=1))
    ] = None
    symbols: Annotated[
        int | None, Parameter(help="So many; as the scenario says.", validator=Number(gte=1))
    ] = None
    tape: Annotated[
        Path | None,
        Parameter(help="A recording instead; what was planted is in FILE.truth.json beside it."),
    ] = None
    beside: Annotated[
        Path | None,
        Parameter(help="A second feed's recording, played beside: legs are SYMBOL@a, SYMBOL@b."),
    ] = None
    lag_us: Annotated[
        int | None,
        Parameter(
            help="Its messages come so much later; without --beside those of the same day.",
            validator=Number(gte=0),
        ),
    ] = None


@app.command(name="test")
def run_test(  # noqa: PLR0913 - an option each
    target: str,
    *,
    day: Day | None = None,
    config: Path | None = None,
    params: list[str] | None = None,
    legs: list[str] | None = None,
    finds: str = "",
    cooldown_ms: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    times: Annotated[int, Parameter(validator=Number(gte=0, lte=_TIMES_MAX))] = 3,
    plot: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run one function over a day, and say what it found of what was planted.

    Parameters
    ----------
    target
        FILE.py, FILE.py:FUNCTION, MODULE:FUNCTION, or FILE.toml:NAME for what a configuration
        names in [[patterns]], [[definitions]] or [[breakers]].
    config
        A server's configuration, for sizes, lanes and groups.
    params
        `name=number`, over those of the configuration or the defaults; commas between several.
    legs
        Symbols to look at together, with commas: the one to trade first. Can be given several
        times. Without it a function of several instruments looks at what was planted together.
    finds
        Kinds that are right to find, with commas; without it those that a built-in function is for,
        and every kind for others.
    cooldown_ms
        Quiet after a signal, as the key of a pattern.
    times
        Replays for the cost of a call, of which the shortest counts; 0: no cost.
    plot
        Write prices with what was planted and found: an .html page, or a .png.
    as_json
        Print one JSON object on the last line, with every detection.
    """
    day = day or Day()
    if bool(day.scenario) == (day.tape is not None):
        raise UserError("--scenario or --tape is needed, and not both", ExitCode.USAGE)
    if plot is not None:
        check_plot(plot)
    kinds = _kinds(finds)
    subject = read_subject(target, config).with_params(parse_params(params or ()))
    if cooldown_ms is not None:
        subject = subject.with_cooldown(cooldown_ms)
    with _tape(day) as tape:
        if tape.beside is not None:
            subject = subject.on_two_feeds()
        subject = bound(subject, tape, [each.split(",") for each in legs or ()])
        played = play(subject, tape)
        found, names = scored(subject, tape, played, kinds or subject.kinds)
        cost = measure(subject, tape, times) if times else None
    result = _result(subject, tape, played, found, cost, names)
    if plot is not None:
        write_plot(plot, result, played, found)
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        print_report(result, is_terminal=sys.stdout.isatty())
    return ExitCode.OK


@contextmanager
def _tape(day: Day) -> Iterator[Tape]:
    """The recording, or a day that is gone afterwards, alone or with another feed."""
    with ExitStack() as stack:
        if day.tape is not None:
            tape = recorded(day.tape)
        else:
            made = made_day(day.scenario, day.seed, day.messages, day.symbols)
            tape = stack.enter_context(made)
        if day.beside is not None or day.lag_us is not None:
            tape = tape.with_beside(day.beside, day.lag_us or 0)
        yield tape


def _kinds(finds: str) -> tuple[str, ...]:
    """What --finds names."""
    kinds = tuple(each.strip() for each in finds.split(",") if each.strip())
    unknown = [each for each in kinds if each not in KINDS]
    if unknown:
        raise UserError(f"--finds {unknown[0]!r}: it is one of {', '.join(KINDS)}", ExitCode.USAGE)
    return kinds


def bound(subject: Subject, tape: Tape, legs: Sequence[Sequence[str]]) -> Subject:
    """The subject with the instruments that it looks at, and what follows from their relation."""
    if legs:
        subject = subject.bound_to(legs)
    elif subject.legs != 1 and not subject.is_bound:
        legs = _natural(subject, tape)
        if not legs:
            raise UserError(
                f"{subject.name} looks at several instruments, and none were planted together in"
                f" {tape.title}; name them: --legs AAA,BBB",
                ExitCode.USAGE,
            )
        subject = subject.bound_to(legs)
    if tape.truth and len(legs) == 1:
        natural = natural_params(tape.truth, legs[0], subject.params)
        subject = subject.with_params({**natural, **subject.stage.params})
    return subject


def _natural(subject: Subject, tape: Tape) -> list[tuple[str, ...]]:
    """The instruments that a function of several is for, by the truth."""
    if tape.truth is None:
        return []
    if subject.is_breaker:
        return natural_market(tape.truth, subject.legs)
    if tape.beside is not None and subject.legs == len(subject.config.feed_names):
        return natural_feeds(tape.truth, subject.config.feed_names)
    return natural_legs(tape.truth, subject.legs)


def scored(
    subject: Subject, tape: Tape, played: Played, kinds: Sequence[str]
) -> tuple[Score, dict[int, str]]:
    """Detections against the truth (nothing, without one), and symbols by number."""
    names = {number: symbol for symbol, number in played.instruments.items()}
    detections = as_detections(played.signals, is_whole=subject.is_whole)
    if tape.truth is None:
        return score(detections, [], ()), names
    planted = read_planted(tape.truth, is_whole=subject.is_whole)
    looked = _numbers(subject, played)
    return score(detections, watched(planted, looked, kinds), kinds), names


def _numbers(subject: Subject, played: Played) -> list[tuple[int, ...]]:
    """Numbers of the instruments of each binding; none: each instrument alone."""
    symbols = bindings_of(subject.config)
    unknown = sorted({each for legs in symbols for each in legs} - set(played.instruments))
    if unknown:
        raise UserError(
            f"{', '.join(unknown[:5])}: no such symbol on this tape; it has"
            f" {', '.join(sorted(played.instruments)[:5])}, ... ({len(played.instruments)})",
            ExitCode.USAGE,
        )
    return [tuple(played.instruments[each] for each in legs) for legs in symbols]


def _result(
    subject: Subject,
    tape: Tape,
    played: Played,
    found: Score,
    cost: Cost | None,
    names: dict[int, str],
) -> dict[str, Any]:
    bindings = _numbers(subject, played)
    looked = len({each for legs in bindings for each in legs}) or len(played.instruments)
    known = found if tape.truth is not None else None
    result = as_object(tape.title, subject.name, played, known, cost, looked)
    result["legs"] = [[names[each] for each in legs] for legs in bindings]
    result["params"] = subject.stage.params
    result["detected"] = detections_as_objects(found, names)
    result["missed"] = missed_as_objects(found, names)
    return result
