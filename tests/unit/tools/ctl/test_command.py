"""The command against a hub in another thread: what it prints, and how it ends."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from feedhandler.server.errors import DataError, ExitCode, UnavailableError, UserError
from tests.unit.feedhandler.server.hub_support import ServedRig, signal_row
from tools.ctl.command import app


class HubThread:
    """A hub with a loop of its own."""

    def __init__(self) -> None:
        self.rig = ServedRig(groups={"tech": ("SYM7", "S[12]")})
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.run(self.rig.server.start())

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(5)

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.loop.call_soon_threadsafe(call, *arguments)

    def close(self) -> None:
        self.run(self.rig.server.stop(0.1))
        self.soon(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def hub() -> Iterator[HubThread]:
    with structlog.testing.capture_logs():
        made = HubThread()
        yield made
        made.close()


@pytest.fixture
def ctl(hub: HubThread, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str) -> str:
        port = ("--port", str(hub.rig.server.port))
        app((*words, *port), result_action="return_value", exit_on_error=False, print_error=False)
        return capsys.readouterr().out

    return run


def test_lists_are_tables(ctl: Callable[..., str]):
    assert [line.split() for line in ctl("list", "patterns").splitlines()] == [
        ["name", "function", "signals"],
        ["imbalance", "f", "3"],
        ["sweep", "f", "3"],
    ]
    assert "SYM7,S[12]" in ctl("list", "groups")
    assert json.loads(ctl("list", "breakers", "--json"))[0]["name"] == "price_band"


def test_stats_show_what_was_asked_for(ctl: Callable[..., str]):
    text = ctl("stats", "SYM1", "--counters", "packets*")
    for words in ("state serving", "clients 1", "packets_received 7", "SYM1", "LIVE"):
        assert words in text


def test_bars_and_correlations_are_tables(ctl: Callable[..., str]):
    head, row = ctl("bars", "SYM1").splitlines()
    assert head.split()[:4] == ["symbol", "feed", "by", "number"]
    assert row.split()[:3] == ["SYM1", "itch", "time"]
    found = json.loads(ctl("correlations", "tech", "--symbols", "SYM4", "--json"))
    assert [(each["symbol_a"], each["symbol_b"]) for each in found] == [("SYM3", "SYM4")]
    assert len(json.loads(ctl("correlations", "--json"))) == 2


def test_price_statistics_begin_anew_only_when_that_is_said(
    hub: HubThread, ctl: Callable[..., str]
):
    ctl("stats", "SYM1")
    assert hub.rig.view.cleared == []
    assert "symbols 1" in ctl("stats", "SYM1", "--reset")
    assert hub.rig.view.cleared == ["SYM1"]


def test_watch_prints_what_flows_up_to_the_end(hub: HubThread, ctl: Callable[..., str]):
    rig = hub.rig

    def when_subscribed() -> None:
        if not rig.hub.subscription_count:
            hub.loop.call_later(0.01, when_subscribed)
            return
        rig.signals(*(signal_row(n) for n in range(3)))
        rig.hub.end_all("shutdown", "over")

    hub.soon(when_subscribed)
    lines = ctl("watch", "SYM7", "--kinds", "order").splitlines()
    assert [line.split()[0] for line in lines] == ["order"] * 3 + ["end"]
    assert "SYM7 itch imbalance" in lines[0]
    assert "signal_id=2" in lines[2]


def test_commands_that_change_something_are_sent_with_all_their_words(
    hub: HubThread, ctl: Callable[..., str]
):
    assert ctl("trip", "price_band", "--target", "SYM1", "--level", "caution") == "level caution\n"
    assert ctl("shutdown", "--drain-s", "9") == "state draining\n"
    trip, shutdown = hub.rig.actions.asked
    assert (trip.breaker, trip.target, trip.level) == ("price_band", "SYM1", "caution")
    assert shutdown.drain_s == 9


@pytest.mark.parametrize(
    ("words", "named", "code"),
    [
        (("watch", "--groups", "nope"), "there is no 'nope'", ExitCode.USAGE),
        (("priority", "SYM1", "0", "--timeout-ms", "20"), "timeout", ExitCode.UNAVAILABLE),
        (("reset", "price_band"), "failed", ExitCode.UNEXPECTED),
    ],
)
def test_refusal_is_one_line_and_a_code(
    hub: HubThread, ctl: Callable[..., str], words: tuple[str, ...], named: str, code: ExitCode
):
    hub.soon(hub.loop.set_exception_handler, lambda *_: None)
    with pytest.raises(UserError, match=named) as caught:
        ctl(*words)
    assert caught.value.exit_code == code


def test_nobody_there_is_said_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(UnavailableError, match=r"no hub at .*\[hub\] port"):
        app(("reload", "--port", str(port)), result_action="return_value", exit_on_error=False)


@pytest.mark.parametrize(
    ("said", "error"), [(b"220 mail\n", DataError), (b"", UnavailableError), (b"[]\n", DataError)]
)
def test_what_is_no_hub_is_said_to_be_none(said: bytes, error: type[Exception]):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1_000)
                sock.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        port = str(listener.getsockname()[1])
        with pytest.raises(error):
            app(("reload", "--port", port), result_action="return_value", exit_on_error=False)
        thread.join()
