"""The `exchange` command."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import uvloop
from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from feedhandler import __version__
from feedhandler.server.configfile import check_writable, load_config
from feedhandler.server.errors import ExitCode, UserError, run_cli
from tools.exchange.checker import check_file
from tools.exchange.config import SPEED_MAX, ExchangeConfig
from tools.exchange.day import NS_PER_S, SESSION_S_MAX
from tools.exchange.generate import changed_scenario, generate_day, generate_file
from tools.exchange.layout import FlowSettings
from tools.exchange.market.scenario import load_scenario, scenario_names
from tools.exchange.merge import PARTS_MAX
from tools.exchange.report import format_finding, report_file
from tools.exchange.runner import run_exchange
from tools.exchange.symbols import SYMBOLS_MAX
from tools.exchange.tape import load_tape
from tools.exchange.warmup import warm_up_live_market, warm_up_market

app = App(
    name="exchange",
    version=__version__,
    help="A synthetic exchange: ITCH 5.0 over MoldUDP64, re-requests, GLIMPSE; or to a file.",
)


@app.command
def run(
    *,
    config: Path,
    tape: Path | None = None,
    scenario: str = "",
    speed: Annotated[float | None, Parameter(validator=Number(gte=0, lte=SPEED_MAX))] = None,
    wait: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run a session until its end, or SIGTERM.

    Parameters
    ----------
    config
        TOML file; see `tools/exchange/README.md`.
    tape
        Send this session, which `exchange generate` wrote, at the rate of the configuration.
    scenario
        A day of a market, made while it is sent; stands for `name` of the table `[scenario]`.
    speed
        Time of that market by time of the clock; 0: at the rate of the configuration.
    wait
        Send heartbeats alone until a line comes on standard input, or its end.
    json
        Print the report as one JSON object on the last line.
    """
    settings = load_config(config, ExchangeConfig)
    check_writable(settings.status_file, "status_file")
    check_writable(settings.report_file)
    settings = _with_scenario(settings, scenario, speed)
    made = load_tape(tape) if tape is not None else None
    day = None
    if settings.scenario.name:
        if tape is not None:
            raise UserError("--tape and a scenario: only one of both can be sent", ExitCode.USAGE)
        day = changed_scenario(
            load_scenario(settings.scenario.name), settings.scenario.messages or None
        )
        warm_up_live_market()
    elif tape is not None and settings.order_entry is not None:
        raise UserError(
            "order_entry: a tape has no books to trade in; take the table away, or --tape",
            ExitCode.CONFIG,
        )
    report, faults = uvloop.run(run_exchange(settings, is_waiting=wait, tape=made, scenario=day))
    _print_result(report, as_json=json)
    if faults:
        raise UserError("; ".join(faults), ExitCode.CANNOT_WRITE)


@app.command
def generate(  # noqa: PLR0913 - an option each
    *,
    out: Path,
    messages: Annotated[
        int | None, Parameter(validator=Number(gte=1, lte=SESSION_S_MAX * NS_PER_S))
    ] = None,
    scenario: str = "",
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 1,
    symbols: Annotated[int | None, Parameter(validator=Number(gte=1, lte=SYMBOLS_MAX))] = None,
    simulated_rate: Annotated[int | None, Parameter(validator=Number(gte=1, lte=NS_PER_S))] = None,
    parts: Annotated[int | None, Parameter(validator=Number(gte=1, lte=PARTS_MAX))] = None,
    producers: Annotated[int | None, Parameter(validator=Number(gte=1, lte=PARTS_MAX))] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a whole session to a BinaryFILE, and what it holds to FILE.truth.json.

    Parameters
    ----------
    out
        File to write; compressed when its name ends in .gz.
    messages
        Messages in all, the administrative ones included; of a scenario about so many.
    scenario
        A day of a market instead of a steady flow: one of those that `exchange scenarios` lists, or
        a file that ends in .toml.
    seed
        The same seed gives the same bytes.
    symbols
        Number of instruments; 100, or as the scenario says.
    simulated_rate
        Messages in a second of the session's clock, of a steady flow; 100,000.
    parts
        Engines that the symbols of a steady flow are dealt out to; 1. Another number, other bytes.
    producers
        Threads that make the parts, at most one a part; 1. Any number gives the same bytes.
    json
        Print the truth as one JSON object on the last line.
    """
    check_writable(str(out), "--out")
    if scenario:
        if simulated_rate is not None:
            raise UserError("--simulated-rate: a scenario has a clock of its own", ExitCode.USAGE)
        if parts is not None or producers is not None:
            raise UserError(
                "--parts and --producers: the symbols of a scenario move together, and what one"
                " does provokes others, so they are not made apart; leave both out",
                ExitCode.USAGE,
            )
        changed = changed_scenario(load_scenario(scenario), messages, symbols)
        warm_up_market()
        result = generate_day(changed, seed, out)
    elif messages is None:
        raise UserError("--messages or --scenario is needed", ExitCode.USAGE)
    else:
        settings = FlowSettings(
            seed, symbols or 100, simulated_rate or 100_000, messages, parts=parts or 1
        )
        result = generate_file(settings, out, producers or 1)
    _print_result(result, as_json=json)


def _with_scenario(settings: ExchangeConfig, scenario: str, speed: float | None) -> ExchangeConfig:
    """The configuration with what the command line says of a scenario."""
    changes: dict[str, Any] = {"name": scenario} if scenario else {}
    if speed is not None:
        changes["speed"] = speed
    day = msgspec.structs.replace(settings.scenario, **changes)
    return msgspec.structs.replace(settings, scenario=day)


@app.command
def scenarios() -> None:
    """List the scenarios that come with the exchange."""
    for name in scenario_names():
        print(f"{name:20}{load_scenario(name).title}")


@app.command
def check(file: Path, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Check a session by an independent book: references, shares, prices, crosses, halts, order.

    Parameters
    ----------
    file
        BinaryFILE, not compressed; of the truth beside it only the orders of crosses are used.
    json
        Print the result as one JSON object on the last line.
    """
    warm_up_market()
    result = check_file(file)
    broken = result["broken"]
    if json:
        _print_result(result, as_json=True)
    else:
        _print_result({**result, "broken": len(broken)}, as_json=False)
        for each in broken:
            print(f"broken {each['times']} times, first by message {each['first']}: {each['rule']}")
    if broken:
        raise UserError(f"{file}: rules broken: {len(broken)}", ExitCode.VERIFICATION_FAILED)


@app.command
def report(
    file: Path | None = None,
    *,
    scenario: str = "",
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 1,
    out: Path = Path("report.html"),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure a session's stylised facts, and write a page with them and with plots.

    Parameters
    ----------
    file
        BinaryFILE, not compressed; or --scenario.
    scenario
        Make a day of this scenario first, as `exchange generate` does.
    seed
        Of that day.
    out
        The page.
    json
        Print the facts as one JSON object on the last line.
    """
    if (file is None) == (not scenario):
        raise UserError("a file or --scenario is needed, and not both", ExitCode.USAGE)
    check_writable(str(out), "--out")
    warm_up_market()
    with tempfile.TemporaryDirectory(prefix="exchange-report-") as folder:
        if file is None:
            file = Path(folder) / f"{Path(scenario).stem}.bin"
            generate_day(load_scenario(scenario), seed, file)
        result = report_file(file, out)
    if json:
        _print_result(result, as_json=True)
        return
    for finding in result["facts"]:
        print(format_finding(finding))
    print(f"{result['facts_that_hold']} of {len(result['facts'])} hold; {out}")


def _print_result(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(result).decode())
        return
    for name, value in result.items():
        if isinstance(value, dict):
            print(f"{name}: " + "  ".join(f"{key} {number}" for key, number in value.items()))
        else:
            print(f"{name}: {value}")


def _run_command() -> int:
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UserError(f"{error} See exchange --help.", ExitCode.USAGE) from None
    return int(ExitCode.OK)


def main() -> None:
    """Entry point: exits 0, 2 for wrong usage, 4 for a session that breaks a rule, 71 for a taken
    port, 73 for a report or status that could not be written at the end, 78 for a bad
    configuration.
    """
    sys.exit(run_cli(_run_command, "exchange"))


if __name__ == "__main__":
    main()
