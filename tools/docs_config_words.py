"""What each key of the configurations means, by Struct and key; `tools.docs_config` adds the rest.

A default that is said here would become a lie, so it is not: the Struct knows it.
"""

from collections.abc import Mapping

from feedhandler.server.errors import ExitCode

Words = Mapping[str, Mapping[str, str]]

_PORT = "0 lets the system choose"
_STAGE = "`module:name`, or `path/file.py:name` from where the server is started"

SERVER_WORDS: Words = {
    "ServerConfig": {
        "feed": "the feed, or the first one",
        "feeds": "more feeds, each as `[feed]` with a name of its own; at most 7",
        "oms": "FIX acceptor for OMS clients",
        "engine": "threads and memory",
        "budgets": "time that a stage may take for one tick",
        "priority": "which messages are looked at first",
        "breakers": "circuit breakers, at most 60, in this order, see [breakers](breakers.md)",
        "responses": "what their levels do to signals, where not as built in",
        "patterns": "patterns, at most 64, in this order",
        "definitions": "patterns by conditions instead of a function, see"
        " [patterns](patterns.md#patterns-without-python)",
        "analytics": "windows of the analytics, and what is kept for those who ask, see"
        " [analytics](analytics.md)",
        "correlations": "pairs whose correlation and beta are kept; each is one of the patterns",
        "groups": "symbols by the name of a group, for patterns and breakers",
        "sectors": "symbols by the name of their sector, which may be named as a group as well",
        "metrics": "HTTP pages",
        "hub": "commands and watchers over TCP, see [the hub](hub.md)",
        "breakers_file": "what is tripped survives a restart in it; empty: `breakers` in"
        " `oms.store_dir`, with the feed's number behind it for further feeds",
        "counters_file": "the mapped counter file, replaced at each start; empty: the place where"
        " `feedhandler top` looks",
        "off_file": "functions that are not called, see [reload](reload.md#the-off-file); empty:"
        " `functions.off` in the folder `store_dir` of `[oms]`",
        "watch_symbol": "instrument that `/book` shows; empty: the one with most messages",
        "report_file": "JSON report, written when the server ends; empty: none",
        "drain_s": "how long OMS sessions may take to log out on SIGTERM",
    },
    "FeedConfig": {
        "line_a": "first line of MoldUDP64; of this, `soup` and `fix` exactly one is given",
        "line_b": "second line with the same packets",
        "soup": "the feed comes over SoupBinTCP instead",
        "fix": "the feed is a session of FIX 4.4 market data; `adapter` is `fix_md`",
        "name": "label `channel` of the metrics",
        "adapter": "the venue, an entry point of the group `feedhandler.adapters`",
        "session": "session of the packets, or of the SoupBinTCP login, others are refused; empty:"
        " the first one seen, and over MoldUDP64 those that follow it",
        "rerequest": "server that sends packets again",
        "glimpse": "server that sends snapshots of the books",
        "reorder_us": "how long a hole may be filled by the other line before it is asked for",
        "request_timeout_ms": "without progress for so long, it is asked for again",
        "request_tries": "so often, then a snapshot is asked for",
        "request_chunk": "messages asked for in one request",
        "request_window": "messages behind the first missing one that are asked for at a time",
        "snapshot_above": "a hole of more messages than this goes to the snapshot at once",
        "stale_after_ms": "silence, heartbeats included, after which the channel is STALE",
        "receive_buffer_bytes": "asked of the system for each socket; the log says what it gave",
    },
    "LineConfig": {
        "port": "UDP port",
        "address": "address to listen on; a multicast group is joined",
        "interface": "address of the interface on which the group is joined",
    },
    "SoupConfig": {
        "port": "TCP port",
        "address": "its address",
        "username": "for the login",
        "password": "for the login",
    },
    "FixConfig": {
        "port": "TCP port",
        "address": "its address",
        "sender_comp_id": "our CompID",
        "target_comp_id": "the exchange's CompID",
        "symbols": 'what is subscribed to, or `["*"]` where the exchange takes that for all of'
        " them",
        "heartbeat_s": "interval that our Logon asks for",
    },
    "Endpoint": {"port": "UDP port", "address": "its address"},
    "GlimpseConfig": {
        "port": "TCP port",
        "address": "its address",
        "username": "for the SoupBinTCP login",
        "password": "for the SoupBinTCP login",
        "timeout_s": "for a whole snapshot",
    },
    "OmsConfig": {
        "store_dir": "folder of sequence numbers and sent messages, one store a CompID, and of the "
        "signal ids",
        "allowed": "CompIDs that may log on; each gets every signal",
        "address": "address to listen on",
        "port": _PORT,
        "sender_comp_id": "the server's own CompID",
        "heartbeat_s": "for a peer whose Logon names no interval",
        "logon_timeout_s": "a connection without a Logon is closed after this",
        "logout_timeout_s": "wait for the answer to a Logout",
        "max_pending_connections": "connections that have not logged on yet",
        "pre_logon_cap_bytes": "bytes before a Logon after which a connection is closed",
        "outbound_cap_bytes": "unsent bytes at which a slow client is cut off",
        "message_cap_bytes": "longest message that is taken",
        "fsync": "each stored batch survives a power cut too, at the disk's pace",
        "send_from": "`hot`: the thread that makes a signal sends it when the socket takes it at "
        "once; `loop`: the event loop sends everything, as it always does with `fsync` and with "
        "several shards",
        "session": "more settings of every session under QuickFIX's names, such as `StartTime`, "
        "`EndTime`, `TimeZone`, `ResetOnLogon`, see [FIX sessions](protocols/fix-session.md); in a "
        "new window of these times numbers start at 1 and what waits is dropped",
    },
    "EngineConfig": {
        "topology": "one thread for everything, or one that receives and one that works; of "
        "several shards each has one or two, behind one that receives",
        "shards": "instrument i belongs to shard i modulo their number, each with books and stages "
        "of its own and all the sizes below, see [architecture](architecture.md)",
        "idle": "what a thread does without work; `spin` is fastest and takes a whole core",
        "instruments": "highest stock locate code + 1",
        "ticks": "ticks in the pool and in each lane; a power of two; `inline` with large packets "
        "needs more, and says so",
        "orders": "slots of orders, by the low bits of their references; a power of two",
        "overflow_orders": "orders whose slot an older one has; a power of two",
        "level_blocks": "blocks of 64 neighbouring price levels, all instruments together",
        "level_arena": "places in the sorted rows of blocks",
        "window_packets": "packets that may wait for an earlier one; a power of two",
        "packet_bytes": "longest datagram; longer ones are counted as malformed",
        "snapshot_bytes": "room for a snapshot's messages",
        "signal_ring": "signals that may wait for the publisher; a power of two",
        "shard_ring": "packets that may wait for the slowest of several shards; a power of two",
        "keep_market": "how much is kept of the market at least: functions that a reload brings may"
        " look at more than those at start do; see [reload](reload.md)",
        "reload_functions": "room for functions that a reload brings, with 16 words of state for"
        " each instrument",
        "reload_bindings": "room for choices of instruments that a reload brings",
        "watchdog_ms": "a function that has run for so long within one call is taken to hang, and"
        " the process ends, see [reload](reload.md#a-function-that-never-returns); 0: never",
        "receiver_cpu": "CPU of the thread that receives, of the only one with `inline`; -1: any."
        " Threads of further feeds are bound to none",
        "worker_cpu": "CPU of the worker's thread, of the first one of several shards, whose "
        "others have the next CPUs; -1: any",
        "realtime_priority": 'of the engine\'s threads in SCHED_FIFO, with `idle = "backoff"` '
        "only; 0: none; the kernel stops threads that have work all the time for 50 ms a second"
        " (`kernel.sched_rt_runtime_us`)",
        "lock_memory": "keep all memory from being paged out (mlockall)",
    },
    "BudgetConfig": {
        "book_ns": "book, analytics and choice of lane",
        "breakers_ns": "all breakers",
        "patterns_ns": "all patterns",
    },
    "PriorityConfig": {
        "from_score": "lowest score of lane 0, 1, ...; what is lower goes to one lane more, the"
        " last; 2 to 16 lanes, see [priority](priority.md)",
        "kinds": "score by kind of message, replaces the whole table below",
        "default_score": "for kinds that `kinds` leaves out",
        "deep_quote_score": "besides, for order messages that leave the best prices as they are",
        "large_trade_qty": "a trade of so many shares is large",
        "large_trade_notional": "a trade of such a value is large, in whole currency units",
        "large_trade_score": "besides, for large trades",
        "moves": "besides, for messages that move the mid price",
        "sizes": "besides, for trades by their size",
        "regimes": "besides, for instruments by their volatility, at most 4",
        "regime_stay_ms": "event time that an instrument stays in a regime before it leaves it"
        " downwards",
        "watch": "besides, for symbols, or for groups as `group:NAME`",
        "phases": "besides, in a phase of the session: `pre_open`, `opening`, `continuous`,"
        " `closing`, `after`",
        "open_at": "when the market opens, of the venue's day, until its system event comes",
        "close_at": "when it closes, the same",
        "opening_minutes": "how long the phase `opening` lasts",
        "closing_minutes": "how long before the close the phase `closing` begins",
        "age_every": "one of so many ticks may be of a less urgent lane, so that none starves; 0:"
        " none",
        "policies": "of each lane under overload: `back-pressure`, as without one, or `conflate`",
        "overload_ticks": "a lane is conflated while so many ticks wait in it",
    },
    "MoveStep": {"bps": "from this move on, up to the next step's", "score": "the score"},
    "SizeStep": {
        "times": "from so many times the instrument's average trade on; a power of two",
        "score": "the score",
    },
    "RegimeStep": {
        "up_e9": "volatility from which on an instrument is in this regime, as `volatility_e9`",
        "down_e9": "volatility below which it leaves it",
        "score": "the score",
    },
    "PatternConfig": {
        "name": "label in the metrics and tag 5002 of the signals",
        "function": _STAGE,
        "params": "of those that its decorator names; the others are the function's defaults",
        "budget_ns": "what a call may take; over it again and again, it is not called any more",
        "instruments": "symbols that it looks at, each alone; empty: all, if it looks at one at a"
        " time; `group:NAME` stands for those of a group, here and in `legs`",
        "legs": "symbols that it looks at together, a list for each choice of them; on a feed of"
        " several: `SYMBOL@FEED`",
        "pairs_of": "a group, of which it looks at every pair",
        "cooldown_ms": "event time after a signal in which the same choice gives no other",
        "across": "names of feeds on which each of `instruments` is looked at together; of more"
        " than the function has legs, every choice of so many",
    },
    "BreakerConfig": {
        "name": "label in the metrics and tag 5002 of the signals",
        "function": _STAGE,
        "params": "of those that its decorator names; the others are the function's defaults",
        "budget_ns": "what a call may take; over it again and again, it is not called any more",
        "instruments": "symbols that it looks at, each alone; empty: all, if it looks at one at a"
        " time; `group:NAME` stands for those of a group or sector, here and in `legs`",
        "legs": "symbols that it looks at together, a list for each choice of them",
        "pairs_of": "a group or sector, of which it looks at every pair",
        "scope": "what its level holds for; empty: what the function says",
        "calm_ms": "event time without a demand before a trip begins to cool",
        "cooling_ms": "how long it cools, at the level of the trip",
        "cooling_max_ms": "each relapse doubles the cooling, up to this",
        "probe_ms": "how long it is at caution before it is normal again",
    },
    "ResponsesConfig": {
        "normal": "before every order; without it orders leave as they are",
        "caution": "marks orders, and cuts them to a quarter",
        "restrict": "lets only what reduces a position leave that it was told",
        "halt": "lets nothing leave, and asks the OMS to cancel",
    },
    "ResponseConfig": {
        "function": _STAGE,
        "params": "of those that its decorator names; the others are the function's defaults",
        "budget_ns": "what a call may take; over it again and again, it is not called any more",
    },
    "DefinedConfig": {
        "name": "as of a pattern",
        "when": "a condition: the guard",
        "sequence": 'steps in their order, each `"LABEL: condition"`',
        "unless": "a condition that ends what a sequence has begun",
        "within_ms": "how long a sequence may take, event time",
        "for_ms": "how long a guard must have held, event time",
        "between": "two times of the day, `HH:MM:SS`, event time",
        "legs": "names of the instruments in conditions",
        "params": "numbers with names, for conditions",
        "side": "`buy`, `sell`, or a number whose sign it is",
        "price": "limit price, a number in 1e-9; empty: the touch",
        "qty": "quantity, an integer or a number",
        "values": "up to three numbers for the signal's row",
        "confidence_bps": "confidence, an integer or a number",
        "instruments": "as of a pattern",
        "choices": "symbols for the legs, a list for each choice",
        "pairs_of": "as of a pattern",
        "cooldown_ms": "as of a pattern",
        "budget_ns": "as of a pattern",
        "across": "as of a pattern",
    },
    "AnalyticsConfig": {
        "realised_ms": "window of `realised_e9`",
        "half_life_ms": "after so long without a message a rate is half of what it was",
        "sample_ms": "how often mid, spread and rate are sampled for their scores",
        "memory_shift": "scores remember 2 to the power of this samples",
        "mid_floor_e4": "a smaller deviation of the mid counts as this one; 1e-4",
        "spread_floor_e4": "the same of the spread",
        "rate_floor": "the same of the messages a second",
        "depth_levels": "best levels that `depth_imbalance_bps` takes together",
        "bar_ms": "length of time bars, for `feedhandler ctl bars`; 0: none are kept",
        "bar_shares": "size of volume bars; 0: none are kept",
        "price_stats": "keep least, highest and average price of the trades, for `feedhandler ctl"
        " stats`",
    },
    "CorrelationConfig": {
        "name": "for `feedhandler ctl correlations` and the metrics of patterns; no other pattern"
        " has it",
        "legs": 'pairs of symbols: `[["AAA", "BBB"]]`; "group:NAME" stands for a group of two',
        "pairs_of": "a group of `[groups]`, of which it is every pair",
        "window": "returns that count",
        "sample_ms": "time between two samples",
    },
    "MetricsConfig": {
        "port": f"`/metrics`, `/livez`, `/readyz`, `/book`; {_PORT}",
        "address": "address to listen on",
    },
    "HubConfig": {
        "port": "TCP port; 0: nobody can connect",
        "address": "address to listen on; one that others reach is refused without `insecure_lan`",
        "insecure_lan": "whoever reaches the port may do everything: only where the network itself"
        " keeps others out",
        "read_only": "refuse `trip`, `reset`, `set_priority`, `reload`, `enable` and `shutdown`",
        "clients": "connections at a time",
        "subscriptions": "of one client",
        "queue": "messages that wait for one subscription, which may ask for less",
        "policy": "what becomes of a subscription whose queue is full and that named no policy:"
        " of each instrument and kind the newest message stays, the oldest goes, or it ends",
        "line_bytes": "longest command",
        "line_s": "time for a line to become whole, and for the first command",
        "idle_s": "a client without subscription that says nothing is closed after this",
        "stall_s": "a client that reads nothing while something waits is closed after this",
        "heartbeat_s": "silence after which a watcher is told that the connection lives",
        "quote_ms": "time between two looks at the best prices that are watched",
        "quote_symbols": "symbols whose best prices are looked at, over all clients",
        "groups": "names for lists of symbols, which may have `*`, `?` and `[...]`",
    },
}

EXCHANGE_WORDS: Words = {
    "ExchangeConfig": {
        "line_a": "first line",
        "line_b": "second line",
        "session": "the session",
        "flow": "what is sent, and how fast",
        "rerequest": "re-request server",
        "glimpse": "snapshot server",
        "soup": "the session over SoupBinTCP; not served without this section",
        "fix_md": "FIX 4.4 market data; not served without this section",
        "scenario": "a day of a market instead of the steady flow",
        "order_entry": "orders of clients over FIX 4.4; not served without this section",
        "report_file": "JSON, written at the end; empty: none",
        "status_file": "JSON, replaced about four times a second; empty: none",
    },
    "Line": {
        "port": "UDP port that packets are sent to",
        "address": "address that packets are sent to",
        "loss": "chance that a packet is lost",
        "duplicate": "chance that a packet is sent twice",
        "reorder": "chance that a packet goes behind the next one",
        "delay_us": "time that every packet waits",
        "cuts": "windows in which nothing leaves the line",
    },
    "Cut": {
        "start_s": "counted from the first message",
        "duration_s": "length of the window",
    },
    "Session": {
        "id": "1 to 10 letters and digits",
        "heartbeat_ms": "idle time of a line after which it carries a heartbeat",
        "payload_bytes": "most that a packet holds behind its header; above 1,400: jumbo frames",
        "end_linger_s": "how long requests and snapshots are answered after the last message",
    },
    "Flow": {
        "seed": "the same seed gives the same session",
        "symbols": "instruments",
        "rate": "messages sent in a second",
        "burst_factor": "times its share of messages that a burst has; the rate stays; 1: none",
        "burst_us": "length of a burst",
        "burst_every_ms": "from the begin of a burst to that of the next",
        "simulated_rate": "messages in a second of the session's own clock",
        "messages": "messages in all; 0: `rate` times `seconds`",
        "seconds": "length; with `messages` 0 as well: until SIGTERM, or its clock's midnight",
        "orders_per_symbol": "orders around which each book hovers",
        "start_delay_ms": "heartbeats only, for receivers to be there",
        "halt_interval_ms": "mean simulated time between trading halts",
    },
    "Rerequest": {
        "port": f"UDP; {_PORT}, told in the status file",
        "address": "address to listen on",
        "history_messages": "latest messages that can be asked for, rounded up to a power of two",
    },
    "Glimpse": {
        "port": f"TCP; {_PORT}, told in the status file",
        "address": "address to listen on",
        "clients_max": "connections at a time",
    },
    "Soup": {
        "port": f"TCP; {_PORT}, told in the status file",
        "address": "address to listen on",
        "clients_max": "connections at a time",
        "username": "who may log in, without case; empty: anyone",
        "password": "of that user, without case",
    },
    "Day": {
        "name": "one of `exchange scenarios`, or a file that ends in .toml; empty: no scenario",
        "speed": "time of the market by time of the clock; 0: messages at the rate of `[flow]`",
        "start": "time of the market at the start: what was before is sent at once",
        "messages": "about so many in the day; 0: as the scenario says",
    },
    "OrderEntry": {
        "port": f"TCP; {_PORT}, told in the status file",
        "address": "address to listen on",
        "comp_id": "the exchange's; a client may have any",
        "clients_max": "clients, by their CompID",
        "orders_max": "orders of clients that are live at a time",
    },
    "FixMd": {
        "port": f"TCP; {_PORT}, told in the status file",
        "address": "address to listen on",
        "clients_max": "connections at a time",
        "comp_id": "SenderCompID of the exchange; a client may have any",
    },
}

EXIT_CODE_WORDS: Mapping[ExitCode, str] = {
    ExitCode.OK: "good",
    ExitCode.UNEXPECTED: "a fault of ours: a traceback, or a process of the demo that ended",
    ExitCode.USAGE: "wrong command line",
    ExitCode.LOAD_TEST_FAILED: "a load test missed its target (reserved)",
    ExitCode.VERIFICATION_FAILED: "the demo's report is not clean",
    ExitCode.UNCLEAN_DRAIN: "the server could not finish within its deadline (reserved)",
    ExitCode.DATA: "a data file is missing, damaged or of another kind",
    ExitCode.UNAVAILABLE: "something needed does not answer",
    ExitCode.FUNCTION_HUNG: "a pattern or breaker did not return; start the server again, which"
    " does without it, see [reload](reload.md#a-function-that-never-returns)",
    ExitCode.OS_LIMIT: "the system refused a port, memory or descriptor",
    ExitCode.CANNOT_WRITE: "an output cannot be written",
    ExitCode.NO_PERMISSION: "permission denied",
    ExitCode.CONFIG: "bad configuration",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
}
