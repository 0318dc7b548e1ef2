"""Configuration of `exchange run`: one Struct a section, every key with its default and unit."""

from typing import Annotated

from msgspec import Meta, Struct

from tools.exchange.day import NS_PER_S, SESSION_S_MAX, fits_a_day
from tools.exchange.lines import DELAY_US_MAX, LineFaults
from tools.exchange.market.scenario import Clock, clock_ns_of
from tools.exchange.pace import Pace, allocate_clock_pace, allocate_pace
from tools.exchange.rerequests import PAYLOAD_BYTES_MAX
from tools.exchange.streams import COMP_ID_BYTES_MAX
from tools.exchange.symbols import SYMBOLS_MAX

Port = Annotated[int, Meta(ge=0, le=65_535)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
HISTORY_MESSAGES_MIN = 4096
SPEED_MAX = 100_000
"""At this a day takes 0.6 s."""
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
PAYLOAD_BYTES_MIN = 128
"""More than any message takes."""
CLIENTS_MAX = 64
"""Of SoupBinTCP, or of FIX."""


class Session(Struct, frozen=True, forbid_unknown_fields=True):
    """The MoldUDP64 and SoupBinTCP session."""

    id: Annotated[str, Meta(min_length=1, max_length=10, pattern="^[0-9A-Za-z]+$")] = "FH00000001"
    heartbeat_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1000
    """Idle time of a line after which it carries a heartbeat."""
    payload_bytes: Annotated[int, Meta(ge=PAYLOAD_BYTES_MIN, le=65_000)] = PAYLOAD_BYTES_MAX
    """Most that a packet of a line holds behind its header; above 1,400 for jumbo frames only."""
    end_linger_s: Seconds = 10.0
    """How long requests and snapshots are still answered after the last message."""


class Flow(Struct, frozen=True, forbid_unknown_fields=True):
    """What is generated, and how fast it is sent."""

    seed: Annotated[int, Meta(ge=0)] = 1
    symbols: Annotated[int, Meta(ge=1, le=SYMBOLS_MAX)] = 100
    rate: Annotated[int, Meta(ge=1, le=100_000_000)] = 100_000
    """Messages sent in a second."""
    burst_factor: Annotated[int, Meta(ge=1, le=1_000)] = 1
    """How many times its share each burst has; the other messages are so much rarer that the rate
    stays. 1 for no bursts.
    """
    burst_us: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    """Length of a burst."""
    burst_every_ms: Annotated[int, Meta(ge=1, le=60_000)] = 20
    """Time from one burst to the next."""
    simulated_rate: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 100_000
    """Messages in a second of the session's own clock: with seed, symbols, orders_per_symbol and
    the number of messages it decides every byte, whatever `rate` is.
    """
    messages: Annotated[int, Meta(ge=0, le=SESSION_S_MAX * NS_PER_S)] = 0
    """Total; 0: rate times seconds, or without an end when `seconds` is 0 too."""
    seconds: Seconds = 0.0
    orders_per_symbol: Annotated[int, Meta(ge=4, le=10_000)] = 200
    start_delay_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 500
    """Time for receivers to be there before the first message; heartbeats are sent meanwhile."""
    halt_interval_ms: Annotated[int, Meta(ge=1, le=86_400_000)] = 2000
    """Mean simulated time between trading halts, over all symbols."""

    def __post_init__(self) -> None:
        """Refuse a session that its own clock does not end before midnight."""
        if not fits_a_day(self.total, self.simulated_rate):
            raise ValueError(
                f"{self.total} messages at a simulated_rate of {self.simulated_rate} last beyond"
                f" midnight: {SESSION_S_MAX * self.simulated_rate} at most, or a higher rate"
            )
        if (
            self.burst_factor > 1
            and self.burst_factor * self.burst_us > 1_000 * self.burst_every_ms
        ):
            raise ValueError(
                f"bursts of {self.burst_us} us with {self.burst_factor} times their share are more"
                f" than all messages of {self.burst_every_ms} ms: make burst_every_ms longer"
            )

    @property
    def pace(self) -> Pace:
        """When its messages are due."""
        return allocate_pace(
            self.rate, self.burst_factor, 1_000 * self.burst_us, 1_000_000 * self.burst_every_ms
        )

    @property
    def total(self) -> int:
        """Messages in all; 0 without an end."""
        return self.messages or round(self.rate * self.seconds)


class Cut(Struct, frozen=True, forbid_unknown_fields=True):
    """A window in which nothing leaves the line, counted from the first message."""

    start_s: Seconds
    duration_s: Annotated[float, Meta(gt=0, le=86_400)]


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a line goes, and its faults: chances per packet from 0 to below 1."""

    port: Annotated[int, Meta(ge=1, le=65_535)]
    address: str = "127.0.0.1"
    loss: Fraction = 0.0
    duplicate: Fraction = 0.0
    reorder: Fraction = 0.0
    delay_us: Annotated[int, Meta(ge=0, le=DELAY_US_MAX)] = 0
    cuts: tuple[Cut, ...] = ()

    def faults(self) -> LineFaults:
        """The same in the units of the line's kernels."""
        cuts_ns = tuple(
            (round(cut.start_s * 1e9), round((cut.start_s + cut.duration_s) * 1e9))
            for cut in self.cuts
        )
        return LineFaults(self.loss, self.duplicate, self.reorder, self.delay_us * 1000, cuts_ns)


class Rerequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Where requests are answered, and for how many of the latest messages."""

    port: Port = 0
    address: str = "127.0.0.1"
    history_messages: Annotated[int, Meta(ge=HISTORY_MESSAGES_MIN, le=1 << 28)] = 1 << 22
    """Rounded up to a power of two; 56 bytes of address space each, touched as it fills."""


class Glimpse(Struct, frozen=True, forbid_unknown_fields=True):
    """Where snapshots are served."""

    port: Port = 0
    address: str = "127.0.0.1"
    clients_max: Annotated[int, Meta(ge=1, le=1024)] = 64


class Day(Struct, frozen=True, forbid_unknown_fields=True):
    """A day of a market instead of the steady flow; of `[flow]` only seed and start_delay_ms count
    then, and rate where `speed` is 0.
    """

    name: str = ""
    """One of `exchange scenarios`, or a file that ends in .toml."""
    speed: Annotated[float, Meta(ge=0, le=SPEED_MAX)] = 60.0
    """Time of the market by time of the clock; 0: messages at the rate of `[flow]`."""
    start: Clock = "09:29:50"
    """Time of the market at the start: what was before is sent at once."""
    messages: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    """About so many in the day; 0: as the scenario says."""

    @property
    def pace(self) -> Pace:
        """When its messages are due."""
        return allocate_clock_pace(round(1_000 * self.speed), clock_ns_of(self.start))


class OrderEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """Where clients' orders are taken, over FIX 4.4."""

    port: Port = 0
    address: str = "127.0.0.1"
    comp_id: Annotated[str, Meta(min_length=1, max_length=32, pattern="^[!-~]+$")] = "EXCHANGE"
    """The exchange's; a client may have any."""
    clients_max: Annotated[int, Meta(ge=1, le=1024)] = 16
    orders_max: Annotated[int, Meta(ge=1, le=1 << 24)] = 1 << 16
    """Orders of clients that are live at a time."""


class Soup(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the session is served over SoupBinTCP."""

    port: Port = 0
    address: str = "127.0.0.1"
    clients_max: Annotated[int, Meta(ge=1, le=CLIENTS_MAX)] = 16
    username: Annotated[str, Meta(max_length=6)] = ""
    """Who may log in, without case; "" for anyone."""
    password: Annotated[str, Meta(max_length=10)] = ""


class FixMd(Struct, frozen=True, forbid_unknown_fields=True):
    """Where FIX 4.4 market data is served."""

    port: Port = 0
    address: str = "127.0.0.1"
    clients_max: Annotated[int, Meta(ge=1, le=CLIENTS_MAX)] = 4
    comp_id: Annotated[
        str, Meta(min_length=1, max_length=COMP_ID_BYTES_MAX, pattern="^[!-~]+$")
    ] = "EXCHANGE"
    """SenderCompID of the exchange; a client may have any."""


class ExchangeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. Ports of 0 are chosen by the system and told in the status file."""

    line_a: Line
    line_b: Line
    session: Session = Session()
    flow: Flow = Flow()
    rerequest: Rerequest = Rerequest()
    glimpse: Glimpse = Glimpse()
    scenario: Day = Day()
    order_entry: OrderEntry | None = None
    soup: Soup | None = None
    """Not served without this section, and so is the next."""
    fix_md: FixMd | None = None
    report_file: str = ""
    """JSON, written once at the end; "" for none."""
    status_file: str = ""
    """JSON, replaced about four times a second; "" for none."""
