"""The files of a demo, as those who read them understand them."""

import socket
from pathlib import Path

import pytest

from feedhandler.server.config import EngineConfig, ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ConfigError, ExitCode, UserError, run_cli
from feedhandler.server.functions import load_stages
from protocols.moldudp64.spec import HEADER_BYTES
from tools.demo.setup import Options, Plan, free_ports, make_plan
from tools.exchange.config import Cut, ExchangeConfig
from tools.exchange.market.profiles import DEFAULT_FILE, load_profiles


def read(plan: Plan) -> tuple[ServerConfig, ExchangeConfig]:
    server = load_config(plan.server_config, ServerConfig)
    return server, load_config(plan.exchange_config, ExchangeConfig)


def test_server_and_exchange_are_told_of_the_same_ports_and_session(tmp_path: Path):
    plan = make_plan(tmp_path, Options())
    server, exchange = read(plan)
    ports = plan.ports
    assert server.feed.line_b is not None
    assert server.feed.rerequest is not None
    assert server.feed.glimpse is not None
    assert server.feed.line_a.port == exchange.line_a.port == ports["line_a"]
    assert server.feed.line_b.port == exchange.line_b.port == ports["line_b"]
    assert server.feed.rerequest.port == exchange.rerequest.port == ports["rerequest"]
    assert server.feed.glimpse.port == exchange.glimpse.port == ports["glimpse"]
    assert (server.oms.port, server.metrics.port) == (ports["oms"], ports["metrics"])
    assert server.feed.session == exchange.session.id
    assert len(set(ports.values())) == len(ports) == 7


def test_options_reach_the_one_they_are_meant_for(tmp_path: Path):
    options = Options(
        seconds=7,
        rate=1_234,
        loss=0.25,
        seed=9,
        symbols=3,
        topology="pipelined",
        shards=3,
        idle="yield",
        cut_at_s=2,
        cut_seconds=4,
        metrics_port=54_321,
    )
    plan = make_plan(tmp_path, options)
    server, exchange = read(plan)
    flow = exchange.flow
    assert (flow.seconds, flow.rate, flow.simulated_rate) == (7, 1_234, 1_234)
    assert (flow.seed, flow.symbols) == (9, 3)
    for line in (exchange.line_a, exchange.line_b):
        assert line.loss == 0.25
        assert line.cuts == (Cut(start_s=2, duration_s=4),)
    assert (server.engine.topology, server.engine.idle) == ("pipelined", "yield")
    assert server.engine.shards == 3
    assert server.metrics.port == 54_321
    assert server.report_file == str(plan.report("server"))
    assert server.counters_file == str(plan.counters)
    assert [stage.name for stage in (*server.patterns, *server.breakers)] == [
        "imbalance",
        "price_band",
    ]


def test_bursts_places_and_packet_sizes_reach_the_one_they_are_meant_for(tmp_path: Path):
    options = Options(
        burst=10, payload_bytes=8_000, receiver_cpu=0, idle="backoff", realtime_priority=7,
        lock_memory=True,
    )  # fmt: skip
    server, exchange = read(make_plan(tmp_path, options))
    assert exchange.flow.burst_factor == 10
    assert exchange.session.payload_bytes == 8_000
    engine = server.engine
    assert (engine.receiver_cpu, engine.realtime_priority, engine.lock_memory) == (0, 7, True)
    assert engine.packet_bytes == 8_000 + HEADER_BYTES
    # No more memory than the window of the defaults has.
    assert engine.window_packets * engine.packet_bytes <= 32_768 * 2_048
    assert 2 * engine.window_packets * engine.packet_bytes > 32_768 * 2_048
    assert (server.feed.request_chunk, server.feed.request_window) == (5 * 40, 5 * 2_000)


def test_packets_of_the_usual_size_leave_the_defaults(tmp_path: Path):
    server, exchange = read(make_plan(tmp_path, Options()))
    assert exchange.session.payload_bytes == 1_400
    assert server.engine.packet_bytes == EngineConfig().packet_bytes
    assert (server.feed.request_chunk, server.feed.request_window) == (40, 2_000)
    assert server.engine.window_packets == EngineConfig().window_packets


def test_without_a_cut_the_lines_are_never_cut(tmp_path: Path):
    _server, exchange = read(make_plan(tmp_path, Options(cut_at_s=5)))
    assert exchange.line_a.cuts == exchange.line_b.cuts == ()


@pytest.mark.parametrize("name", ['a "quoted" folder', "back\\slash", "blank and ö"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir()
    server, exchange = read(make_plan(folder, Options()))
    assert server.oms.store_dir == str(folder / "demo-oms-store")
    assert exchange.report_file == str(folder / "exchange-report.json")


def test_a_file_of_functions_takes_the_place_of_the_demos_own(tmp_path: Path):
    path = tmp_path / "functions.toml"
    path.write_text(
        '[groups]\nall = ["AAA", "BBB"]\n[[patterns]]\nname = "near"\npairs_of = "all"\n'
        'function = "feedhandler.core.patterns:pair_spread"'
    )
    server, _exchange = read(make_plan(tmp_path / "demo", Options(functions=path)))
    assert [each.name for each in server.patterns] == ["near"]
    assert server.breakers == ()
    assert server.groups == {"all": ("AAA", "BBB")}


def test_the_fifty_patterns_look_at_the_symbols_of_a_demo(tmp_path: Path):
    path = Path(__file__).resolve().parents[4] / "examples/fifty-patterns.toml"
    server, exchange = read(make_plan(tmp_path, Options(functions=path)))
    assert len(load_stages(server).patterns) == 50
    traded = [each.symbol for each in load_profiles(exchange.flow.symbols, DEFAULT_FILE)]
    assert sorted(symbol for group in server.groups.values() for symbol in group) == sorted(traded)


def test_a_file_of_functions_has_nothing_else(tmp_path: Path):
    path = tmp_path / "functions.toml"
    path.write_text("[groups]\n[engine]\nshards = 2\n")
    with pytest.raises(ConfigError, match=r"functions\.toml:2: .*engine"):
        make_plan(tmp_path / "demo", Options(functions=path))


def test_what_an_earlier_demo_left_is_gone_and_nothing_else(tmp_path: Path):
    plan = make_plan(tmp_path, Options())
    plan.store.mkdir()
    own = [plan.store / "session", plan.report("server"), plan.counters, plan.exchange_status]
    others = ["x.counters", "notes.txt", "my.json", "my.log", "oms-store/kept"]
    (tmp_path / "oms-store").mkdir()
    for path in [*own, plan.log("garbage"), *(tmp_path / name for name in others)]:
        path.write_text("old")
    make_plan(tmp_path, Options())
    assert not any(path.exists() for path in [*own, plan.log("garbage"), plan.store])
    assert all((tmp_path / name).read_text() == "old" for name in others)


def test_a_folder_that_holds_something_and_is_no_demos_is_refused_untouched(tmp_path: Path):
    (tmp_path / "oms-store").mkdir()
    for name in ("oms-store/kept", "server-report.json", "feedhandler.counters", "server.toml"):
        (tmp_path / name).write_text("the user's")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="is not empty and no demo made it") as caught:
        make_plan(tmp_path, Options())
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "server.toml").read_text() == "the user's"


def test_a_folder_that_is_not_there_yet_is_made(tmp_path: Path):
    assert make_plan(tmp_path / "new" / "folder", Options()).server_config.is_file()


@pytest.mark.parametrize(("name", "code"), [("file", 73), ("file/below", 65), ("x" * 300, 65)])
def test_a_folder_that_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
):
    (tmp_path / "file").write_text("")
    assert run_cli(lambda: make_plan(tmp_path / name, Options())) == code
    message = capsys.readouterr().err
    assert message.startswith(f"feedhandler: error: {tmp_path / name}: ")
    assert message.count("\n") == 1


def test_free_ports_differ_and_can_be_had_for_both_protocols():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.bind(("127.0.0.1", port))


def test_metrics_are_where_the_shipped_scrape_configuration_looks_unless_that_is_taken(
    tmp_path: Path,
):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        try:
            taken.bind(("127.0.0.1", 9464))
        except OSError:
            pytest.skip("something on this machine listens at 9464")
        assert make_plan(tmp_path, Options()).ports["metrics"] != 9464
    assert make_plan(tmp_path, Options()).ports["metrics"] == 9464
    assert make_plan(tmp_path, Options(metrics_port=54_321)).ports["metrics"] == 54_321
