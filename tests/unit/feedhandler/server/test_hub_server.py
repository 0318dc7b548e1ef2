"""The hub over TCP: good clients, slow ones, silent ones, and what is no client at all."""

import asyncio
import json
import socket
import time
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedhandler.server.config import HubConfig
from feedhandler.server.errors import OsLimitError
from feedhandler.server.hub_server import ERRORS_MAX, READ_BYTES, WRITE_BUFFER_BYTES, HubServer
from tests.unit.feedhandler.server.hub_support import (
    Peer,
    Rig,
    ServedRig,
    serving,
    signal_row,
    until,
)


async def test_commands_are_answered_in_their_order_and_messages_flow():
    async with serving() as rig:
        peer = await rig.connect()
        peer.say("ping", 1)
        peer.say("subscribe", "two", kinds=["order"])
        peer.say("list", 3, what="clients")
        answers = [await peer.next() for _ in range(3)]
        assert [(each["type"], each["id"], each["ok"]) for each in answers] == [
            ("answer", 1, True),
            ("answer", "two", True),
            ("answer", 3, True),
        ]
        rig.hub.take_signals([signal_row(n) for n in range(3)])
        got = [await peer.next() for _ in range(3)]
        assert [(each["sub"], each["n"], each["signal_id"]) for each in got] == [
            (1, 1, 0),
            (1, 2, 1),
            (1, 3, 2),
        ]
        assert got[0]["symbol"] == "SYM7"


async def test_a_line_that_is_wrong_is_answered_and_closes_nothing():
    async with serving(line_bytes=300) as rig:
        peer = await rig.connect()
        lines = (b"hello", b"", b"  \r", b'{"cmd":"nope","id":5}', b"x" * 5_000, b"[]", b"\xc3\x28")
        peer.send(*lines)
        peer.say("ping", 9)
        answers = [await peer.next() for _ in range(6)]
        assert [each["error"]["code"] for each in answers[:5]] == [
            "malformed",
            "unknown_command",
            "malformed",
            "malformed",
            "malformed",
        ]
        assert "300 bytes" in answers[2]["error"]["text"]
        assert (answers[1]["id"], answers[5]["id"]) == (5, 9)
        assert answers[5]["ok"]


async def test_wrong_lines_without_end_are_no_mistake():
    async with serving() as rig:
        peer = await rig.connect()
        peer.send(*[b"hello"] * (ERRORS_MAX + 50))
        found = await peer.rest()
        assert len(found) == ERRORS_MAX + 1
        assert (found[-1]["type"], found[-1]["reason"]) == ("end", "malformed")
        assert rig.hub.clients == {}


async def test_a_good_command_between_wrong_ones_begins_the_count_anew():
    async with serving() as rig:
        peer = await rig.connect()
        for _ in range(3):
            peer.send(*[b"hello"] * (ERRORS_MAX - 1))
            peer.say("ping")
        answers = [await peer.next() for _ in range(3 * ERRORS_MAX)]
        assert sum(each["ok"] for each in answers) == 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\n",
    ],
)
async def test_a_browser_cannot_be_made_to_end_the_server(request_bytes: bytes):
    async with serving() as rig:
        peer = await rig.connect()
        peer.writer.write(request_bytes)
        peer.say("shutdown")
        found = await peer.rest()
        codes = [each["error"]["code"] for each in found if each["type"] == "answer"]
        assert codes[-1] == "not_the_protocol"
        assert found[-1]["reason"] == "not_the_protocol"
        assert rig.actions.asked == []


async def test_beyond_the_limit_of_clients_nobody_is_let_in_and_everybody_else_goes_on():
    async with serving(clients=2) as rig:
        first, second = await rig.connect(), await rig.connect()
        assert (await first.ask("ping"))["ok"]
        assert (await second.ask("ping"))["ok"]
        third = await rig.connect()
        (end,) = await third.rest()
        assert (end["reason"], "[hub] clients" in end["text"]) == ("too_many_clients", True)
        assert (await first.ask("ping"))["ok"]
        assert (await second.ask("ping"))["ok"]
        assert rig.hub.tally.refused_clients == 1


async def test_silent_connections_make_room_for_clients():
    async with serving(clients=2) as rig:
        client, silent = await rig.connect(), await rig.connect()
        assert (await client.ask("ping"))["ok"]
        newcomer = await rig.connect()
        assert (await newcomer.ask("ping"))["ok"]
        (end,) = await silent.rest()
        assert end["reason"] == "silent"
        assert (await client.ask("ping"))["ok"]


async def test_whoever_says_nothing_or_half_a_line_is_closed_in_time():
    async with serving(line_s=1) as rig:
        silent, slow = await rig.connect(), await rig.connect()
        assert (await slow.ask("ping"))["ok"]
        began_s = time.monotonic()

        async def drip() -> None:
            """A byte now and then, and never the end of the line."""
            while True:
                slow.writer.write(b" {")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert [end["reason"] for end in await silent.rest()] == ["silent"]
        assert [end["reason"] for end in await slow.rest()] == ["slow_line"]
        assert time.monotonic() - began_s < 2.5
        dripping.cancel()


async def test_idle_clients_are_closed_and_watchers_get_heartbeats():
    async with serving(idle_s=1, heartbeat_s=1) as rig:
        idle, watcher = await rig.connect(), await rig.connect()
        assert (await idle.ask("ping"))["ok"]
        assert (await watcher.ask("subscribe", kinds=["order"]))["ok"]
        assert [end["reason"] for end in await idle.rest()] == ["idle"]
        assert (await watcher.next())["type"] == "heartbeat"
        assert (await watcher.next())["type"] == "heartbeat"
        assert (await watcher.ask("ping"))["ok"]


async def test_commands_wait_while_one_takes_its_time_and_each_keeps_its_own_deadline():
    async with serving() as rig:
        peer, other = await rig.connect(), await rig.connect()
        peer.say("set_priority", 1, symbol="A", lane=0, timeout_ms=200)
        peer.say("ping", 2, timeout_ms=100)
        peer.say("ping", 3)
        assert (await other.ask("ping"))["ok"]
        answers = [await peer.next() for _ in range(3)]
        codes = [each.get("error", {}).get("code", "ok") for each in answers]
        assert codes == ["timeout", "timeout", "ok"]


async def test_one_command_is_begun_in_a_turn_whoever_sends_how_many():
    async with serving() as rig:
        peers = [await rig.connect() for _ in range(4)]
        for peer in peers:
            for number in range(200):
                peer.say("ping", number)
        for peer in peers:
            ids = [(await peer.next())["id"] for _ in range(200)]
            assert ids == list(range(200))
        # Now with a count of turns beside it.
        turns = 0
        loop = asyncio.get_running_loop()

        def count_turn() -> None:
            nonlocal turns
            turns += 1
            counting[0] = loop.call_soon(count_turn)

        counting = [loop.call_soon(count_turn)]
        before = rig.hub.tally.commands["ok"]
        for number in range(300):
            peers[0].say("ping", number)
        for _ in range(300):
            await peers[0].next()
        counting[0].cancel()
        assert rig.hub.tally.commands["ok"] - before == 300
        assert turns >= 300


async def test_answers_are_not_made_for_whoever_does_not_read_them():
    async with serving(stall_s=60) as rig:
        peer = await rig.connect(limit=1_000)
        line = json.dumps({"cmd": "get_stats", "id": 1, "symbols": ["*"]}).encode() + b"\n"
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        peer.writer.write(line * 20_000)
        await asyncio.sleep(0.5)
        done = rig.hub.tally.commands.get("ok", 0)
        await asyncio.sleep(0.2)
        assert rig.hub.tally.commands.get("ok", 0) == done < 15_000
        (connection,) = rig.server.connections
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 2 * WRITE_BUFFER_BYTES


async def test_watcher_that_does_not_read_is_conflated_then_reads_on():
    async with serving(queue=50, stall_s=60) as rig:
        slow = await rig.connect(limit=1_000)
        assert (await slow.ask("subscribe", kinds=["order"]))["ok"]
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        (client,) = rig.hub.clients.values()
        while rig.hub.tally.conflated < 1_000:
            rig.hub.take_signals([signal_row(sent + n, instrument=n % 20) for n in range(20)])
            sent += 20
            await asyncio.sleep(0)
            assert client.queued <= 50
        rig.hub.deal_all()
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
        rig.hub.end_all("shutdown", "over")
        found = await slow.rest()
        behind = [each for each in found if each["type"] == "behind"]
        orders = [each for each in found if each["type"] == "order"]
        conflated = sum(each["conflated"] for each in behind)
        assert conflated > 0
        assert len(orders) + conflated + sum(each["dropped"] for each in behind) == sent
        assert orders[-1]["signal_id"] == sent - 1
        assert [each["n"] for each in orders] == sorted({each["n"] for each in orders})


async def test_watcher_that_never_reads_is_closed_after_a_while_and_nobody_else_is_late():
    async with serving(queue=20, stall_s=1, line_s=60) as rig:
        slow, quick = await rig.connect(limit=1_000), await rig.connect()
        assert (await slow.ask("subscribe", kinds=["order"]))["ok"]
        assert (await quick.ask("subscribe", kinds=["order"], queue=20))["ok"]
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        number = 0
        deadline_s = time.monotonic() + 5
        while len(rig.hub.clients) == 2 and time.monotonic() < deadline_s:
            rig.hub.take_signals([signal_row(number + n) for n in range(20)])
            for n in range(20):
                assert (await quick.next())["signal_id"] == number + n
            number += 20
        assert len(rig.hub.clients) == 1
        assert rig.hub.tally.disconnected == {"slow": 1}


async def test_watcher_with_the_policy_cut_is_told_and_can_subscribe_again():
    async with serving(queue=10) as rig:
        peer = await rig.connect()
        assert (await peer.ask("subscribe", kinds=["order"], policy="cut"))["ok"]
        rig.signals(*(signal_row(n) for n in range(30)))
        cut = await peer.next()
        assert cut == {"type": "cut", "sub": 1, "queue": 10, "undelivered": 11, "given_on": False}
        assert (await peer.ask("subscribe", kinds=["order"]))["result"]["sub"] == 2
        rig.signals(signal_row(40))
        assert (await peer.next())["signal_id"] == 40


async def test_whoever_closes_its_side_gets_its_answers_and_leaves_its_share():
    async with serving() as rig:
        leaver, stayer = await rig.connect(), await rig.connect()
        for peer in (leaver, stayer):
            assert (await peer.ask("subscribe", kinds=["order"], share="desk"))["ok"]
        leaver.say("ping", 1)
        leaver.say("ping", 2)
        leaver.writer.write_eof()
        assert [each["id"] for each in await leaver.rest()] == [1, 2]
        rig.hub.take_signals([signal_row(n, instrument=n) for n in range(20)])
        assert [(await stayer.next())["signal_id"] for _ in range(20)] == list(range(20))


async def test_end_of_the_hub_delivers_what_waits_and_says_so_last():
    async with serving() as rig:
        peer = await rig.connect()
        assert (await peer.ask("subscribe", kinds=["order"]))["ok"]
        rig.signals(*(signal_row(n) for n in range(700)))
        rig.hub.end_all("shutdown", "over")
        await rig.server.stop(2)
        found = await peer.rest()
        assert [each["signal_id"] for each in found[:-1]] == list(range(700))
        assert found[-1] == {"type": "end", "reason": "shutdown", "text": "over"}
        assert rig.hub.clients == {}
        with pytest.raises(OSError, match=r"refused|failed"):
            await rig.connect()


async def test_no_newcomers_during_the_end():
    async with serving() as rig:
        peer = await rig.connect()
        assert (await peer.ask("ping"))["ok"]
        rig.server.refuse_new()
        with pytest.raises(OSError, match=r"refused|failed"):
            await rig.connect()
        assert (await peer.ask("ping"))["ok"]


async def test_taken_port_is_refused_by_name():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = HubConfig(port=taken.getsockname()[1])
        with pytest.raises(OsLimitError, match=r"^hub: cannot listen on 127\.0\.0\.1:"):
            await HubServer(config, Rig().hub).start()


async def test_one_read_of_a_connection_is_bounded():
    async with serving() as rig:
        peer = await rig.connect()
        peer.writer.write(b"x" * 10_000_000)
        (connection,) = rig.server.connections
        for _ in range(50):
            await asyncio.sleep(0.001)
            assert len(connection._framer._partial) <= rig.config.line_bytes
            assert len(connection._framer._lines) <= READ_BYTES
        peer.writer.transport.abort()


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b'{"cmd":"ping","id":1}\n',
            b'{"cmd":"subscribe","id":2}\n',
            b'{"cmd":"unsubscribe","id":3,"sub":1}\n',
            b'{"cmd":"get_stats","id":4,"symbols":["*"]}\n',
            b'{"cmd":"trip","id":5,"breaker":"x"}\n',
            b"\n",
            b"{",
            b"y" * 400,
        ]
    ),
)


async def _throw(rig: ServedRig, pieces: list[bytes]) -> list[dict[str, Any]]:
    peer: Peer = await rig.connect()
    for piece in pieces:
        peer.writer.write(piece)
        await asyncio.sleep(0)
    rig.hub.take_signals([signal_row(1)])
    peer.writer.write(b"\n")
    peer.writer.write_eof()
    return await peer.rest()


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(throws=st.lists(st.lists(PIECES, max_size=8), max_size=4))
def test_whatever_clients_send_each_gets_lines_and_the_hub_lives(
    runner: Any, throws: list[list[bytes]]
):
    async def run() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: reported.append(context)
        )
        async with serving(line_bytes=300) as rig:
            everything = await asyncio.gather(*(_throw(rig, pieces) for pieces in throws))
            for lines in everything:
                assert all("type" in line for line in lines)
            peer = await rig.connect()
            assert (await peer.ask("ping"))["ok"]
            peer.writer.close()
            await until(lambda: not rig.hub.clients)
            assert rig.hub.subscription_count == 0
        assert reported == []

    runner(run())
