"""Files and ports of one demo: what the three processes are told."""

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from feedhandler.core.limits import SHARDS_MAX
from feedhandler.server.config import (
    AnalyticsConfig,
    BreakerConfig,
    BudgetConfig,
    CorrelationConfig,
    DefinedConfig,
    EngineConfig,
    FeedConfig,
    LineConfig,
    PatternConfig,
    PriorityConfig,
    ResponsesConfig,
    Symbols,
)
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ExitCode, UserError
from protocols.moldudp64.spec import HEADER_BYTES
from tools.exchange.day import SESSION_S_MAX
from tools.exchange.rerequests import PAYLOAD_BYTES_MAX

_MARKER = ".feedhandler-demo"
"""A file that says: this folder is a demo's, and what is named as below is its own to delete."""
_MARKER_TEXT = "feedhandler demo --keep wrote this folder, and overwrites its own files in it.\n"
_PROCESSES = ("server", "exchange", "oms-client", "garbage")
_PORT_NAMES = ("line_a", "line_b", "rerequest", "glimpse", "oms", "metrics", "order_entry")
_SESSION = "FHDEMO0001"
_DAY_S = 86_400
_USUAL_METRICS_PORT = 9464


def _option(help_text: str, low: float, high: float, name: str | None = None) -> Parameter:
    """A numeric option of the command and its bounds, which are checked where it is typed."""
    return Parameter(name=name, help=help_text, validator=Number(gte=low, lte=high))


# Memory that is taken is touched at start: an eighth of the defaults is enough for 100 symbols, and
# there a second earlier.
_OWN_SESSION = {"instruments": 1_024, "orders": 1 << 22, "level_blocks": 1 << 16}
_ANY_TAPE = {"instruments": 16_384}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user asked for; faults apply to the lines as the exchange sends them."""

    seconds: Annotated[int, _option("How long the exchange sends.", 1, SESSION_S_MAX)] = 20
    rate: Annotated[int, _option("Messages a second.", 1, 100_000_000)] = 100_000
    burst: Annotated[
        int,
        _option("So many times the rate for 1 ms in every 20; the mean stays the rate.", 1, 20),
    ] = 1
    tape: Annotated[
        Path | None, Parameter(help="Session of `exchange generate` to send, instead of one made.")
    ] = None
    functions: Annotated[
        Path | None,
        Parameter(
            help="TOML file with patterns, breakers and their groups, instead of the demo's."
        ),
    ] = None
    loss: Annotated[
        float, _option("Share of packets lost on each line, independently.", 0, 0.99)
    ] = 0.0
    seed: Annotated[int, _option("Of the exchange's order flow.", 0, (1 << 63) - 1)] = 1
    symbols: Annotated[int, _option("Instruments traded.", 1, 10_000)] = 100
    trade: Annotated[
        bool,
        Parameter(help="Let the OMS client trade its signals on the exchange.", negative=()),
    ] = False
    topology: Annotated[
        Literal["inline", "pipelined"], Parameter(help="Of the server's threads.")
    ] = "inline"
    shards: Annotated[
        int, _option("Shards of the server, each with threads of its own.", 1, SHARDS_MAX)
    ] = 1
    idle: Annotated[
        Literal["spin", "yield", "backoff"],
        Parameter(help="What a server thread does without work."),
    ] = "spin"
    payload_bytes: Annotated[
        int | None,
        _option("Most that a packet holds; more than 1,400 is for jumbo frames.", 128, 16_000),
    ] = None
    receiver_cpu: Annotated[
        int, _option("CPU that the server's receiving thread is bound to; -1 for none.", -1, 4_095)
    ] = -1
    realtime_priority: Annotated[
        int, _option("Real-time priority of the server's threads, with --idle backoff.", 0, 98)
    ] = 0
    lock_memory: Annotated[bool, Parameter(help="Lock the server's memory.", negative=())] = False
    cut_at_s: Annotated[
        int, _option("Second at which both lines are cut.", 0, _DAY_S, "--cut-at")
    ] = 5
    cut_seconds: Annotated[
        int, _option("How long both lines are cut; 0 for not at all.", 0, _DAY_S)
    ] = 0
    late_start_s: Annotated[
        int,
        _option("Start the server so many seconds after the exchange.", 0, _DAY_S, "--late-start"),
    ] = 0
    metrics_port: Annotated[
        int, _option("Where /metrics is served; 0 for 9464, or any if that is taken.", 0, 65_535)
    ] = 0
    garbage: Annotated[
        int, _option("Pieces of garbage thrown at every port meanwhile.", 0, 1_000_000_000)
    ] = 0


class Functions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of functions may have of a server's configuration."""

    budgets: BudgetConfig = BudgetConfig()
    priority: PriorityConfig = PriorityConfig()
    breakers: tuple[BreakerConfig, ...] = ()
    responses: ResponsesConfig = ResponsesConfig()
    patterns: tuple[PatternConfig, ...] = ()
    definitions: tuple[DefinedConfig, ...] = ()
    analytics: AnalyticsConfig = AnalyticsConfig()
    correlations: tuple[CorrelationConfig, ...] = ()
    groups: dict[str, Symbols] = {}
    sectors: dict[str, Symbols] = {}


class Plan(NamedTuple):
    """Where everything of one run is."""

    folder: Path
    ports: dict[str, int]
    options: Options

    @property
    def server_config(self) -> Path:
        """Configuration of the server."""
        return self.folder / "server.toml"

    @property
    def exchange_config(self) -> Path:
        """Configuration of the exchange."""
        return self.folder / "exchange.toml"

    @property
    def counters(self) -> Path:
        """The server's counter file."""
        return self.folder / "feedhandler.counters"

    @property
    def exchange_status(self) -> Path:
        """What the exchange says of itself, several times a second."""
        return self.folder / "exchange-status.json"

    @property
    def store(self) -> Path:
        """The server's store of signals; named so that it is never taken for that of a desk."""
        return self.folder / "demo-oms-store"

    def report(self, process: str) -> Path:
        """Final report of `server`, `exchange` or `oms-client`."""
        return self.folder / f"{process}-report.json"

    def log(self, process: str) -> Path:
        """Standard error of a process."""
        return self.folder / f"{process}.log"


def make_plan(folder: Path, options: Options) -> Plan:
    """Choose free ports and write both configurations; what an earlier demo left there goes.

    UserError when the folder holds something and is no demo's: nothing in it is touched;
    ConfigError when the file of functions is not one.
    """
    _claim(folder)
    ports = dict(zip(_PORT_NAMES, free_ports(len(_PORT_NAMES)), strict=True))
    if options.metrics_port:
        ports["metrics"] = options.metrics_port
    elif _is_free(_USUAL_METRICS_PORT):
        # Where the shipped scrape configuration looks.
        ports["metrics"] = _USUAL_METRICS_PORT
    plan = Plan(folder, ports, options)
    _clear(plan)
    plan.server_config.write_text(_server_toml(plan))
    plan.exchange_config.write_text(_exchange_toml(plan))
    return plan


def _claim(folder: Path) -> None:
    """Make the folder and mark it as a demo's."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / _MARKER
    if not marker.is_file() and any(folder.iterdir()):
        raise UserError(
            f"{folder} is not empty and no demo made it; name a folder that is new or empty",
            ExitCode.CANNOT_WRITE,
        )
    marker.write_text(_MARKER_TEXT)


def _clear(plan: Plan) -> None:
    """Delete what an earlier demo left, by the exact names that a demo gives its files."""
    shutil.rmtree(plan.store, ignore_errors=True)
    files = [plan.counters, plan.exchange_status]
    for process in _PROCESSES:
        files += [plan.report(process), plan.log(process)]
    for stale in files:
        stale.unlink(missing_ok=True)


def free_ports(count: int) -> list[int]:
    """Ports that were free for UDP and TCP on loopback a moment ago."""
    ports: list[int] = []
    held: list[socket.socket] = []
    try:
        while len(ports) < count:
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held += [tcp, udp]
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    finally:
        for sock in held:
            sock.close()
    return ports


def _is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
        try:
            tcp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _lines(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _packet_sizes(payload_bytes: int | None) -> dict[str, int]:
    """Room for larger packets than the defaults have, in a window of no more memory."""
    usual, packet_bytes = EngineConfig(), (payload_bytes or 0) + HEADER_BYTES
    if packet_bytes <= usual.packet_bytes:
        return {}
    packets = usual.window_packets * usual.packet_bytes // packet_bytes
    return {"packet_bytes": packet_bytes, "window_packets": 1 << packets.bit_length() - 1}


def _requests(payload_bytes: int | None) -> dict[str, int]:
    """Larger requests where packets have room for larger answers."""
    times = (payload_bytes or 0) // PAYLOAD_BYTES_MAX
    if times < 2:
        return {}
    usual = FeedConfig(line_a=LineConfig(port=1))
    return {
        "request_chunk": times * usual.request_chunk,
        "request_window": times * usual.request_window,
    }


def _server_toml(plan: Plan) -> str:
    ports, options = plan.ports, plan.options
    top = {"counters_file": plan.counters, "report_file": plan.report("server")}
    feed = {
        "session": _SESSION,
        **{name: {"port": ports[name]} for name in ("line_a", "line_b", "rerequest", "glimpse")},
        **_requests(options.payload_bytes),
    }
    engine = {
        "topology": options.topology,
        "shards": options.shards,
        "idle": options.idle,
        "receiver_cpu": options.receiver_cpu,
        "realtime_priority": options.realtime_priority,
        "lock_memory": options.lock_memory,
        **(_ANY_TAPE if options.tape else _OWN_SESSION),
        **_packet_sizes(options.payload_bytes),
    }
    oms = {"store_dir": plan.store, "allowed": ["OMS1"], "port": ports["oms"]}
    return (
        _lines(top)
        + (_functions_of(options.functions) if options.functions else _own_functions())
        + f"[feed]\n{_lines(feed)}[engine]\n{_lines(engine)}[oms]\n{_lines(oms)}"
        + f"[metrics]\n{_lines({'port': ports['metrics']})}"
    )


def _functions_of(path: Path) -> str:
    """The text of a file that has nothing in it but functions. ConfigError."""
    load_config(path, Functions)
    return path.read_text(encoding="utf-8").rstrip() + "\n"


def _own_functions() -> str:
    breaker = {
        "name": "price_band",
        "function": "feedhandler.core.breakers:price_band",
        "params": {"band_bps": 300},
    }
    pattern = {
        "name": "imbalance",
        "function": "feedhandler.core.patterns:imbalance_with_trade",
        "params": {
            "imbalance_bps": 7_000,
            "window_ns": 5_000_000,
            "cooldown_ns": 100_000_000,
            "order_qty": 100,
            "trade_qty_min": 1,
        },
    }
    return f"[[breakers]]\n{_lines(breaker)}[[patterns]]\n{_lines(pattern)}"


def _exchange_toml(plan: Plan) -> str:
    ports, options = plan.ports, plan.options
    cuts = []
    if options.cut_seconds:
        cuts = [{"start_s": options.cut_at_s, "duration_s": options.cut_seconds}]
    line = {"loss": options.loss, "cuts": cuts}
    flow = {
        "seed": options.seed,
        "symbols": options.symbols,
        "rate": options.rate,
        "burst_factor": options.burst,
        "simulated_rate": options.rate,
        "seconds": options.seconds,
        "start_delay_ms": 100,
    }
    top = {"report_file": plan.report("exchange"), "status_file": plan.exchange_status}
    session: dict[str, Any] = {"id": _SESSION, "end_linger_s": 600}
    if options.payload_bytes:
        session["payload_bytes"] = options.payload_bytes
    return (
        _lines(top)
        + f"[session]\n{_lines(session)}"
        + f"[flow]\n{_lines(flow)}"
        + f"[line_a]\n{_lines({'port': ports['line_a'], **line})}"
        + f"[line_b]\n{_lines({'port': ports['line_b'], **line})}"
        + f"[rerequest]\n{_lines({'port': ports['rerequest']})}"
        + f"[glimpse]\n{_lines({'port': ports['glimpse']})}"
        + (f"[order_entry]\n{_lines({'port': ports['order_entry']})}" if options.trade else "")
    )
