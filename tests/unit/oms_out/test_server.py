"""The acceptor over loopback: a real initiator, cuts in mid-stream, restarts, hostile peers."""

import asyncio
import errno
import os
import random
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from feedhandler.core.events import SIGNAL, BreakerLevel, SignalKind
from oms_out.contract import OmsCount, OmsGauge
from oms_out.encoding import ID_COLUMN
from oms_out.link import Link
from oms_out.store import FileStore, StoreError
from protocols.fix.message import Identity, encode, encode_fields
from tests.unit.oms_out.support import RawPeer, Rig, dial, read_to_end, signal_row, until
from tools.oms_client.client import ClientSettings, OmsClient


class RunningClient:
    """An OmsClient in a task of its own."""

    def __init__(self, rig: Rig, store_dir: Path, sender: str = "OMS1") -> None:
        settings = ClientSettings(
            host="127.0.0.1",
            port=rig.server.port,
            sender=sender,
            target="FEEDHANDLER",
            store_dir=store_dir,
        )
        self.client = OmsClient(settings, None)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.client.run(self.stop))

    @property
    def link(self) -> Link:
        link = self.client.link
        assert link is not None
        return link

    async def finish(self) -> dict[str, int | bool]:
        self.stop.set()
        await self.task
        self.client.close()
        return self.client.report()


async def test_every_signal_reaches_every_session_and_is_acknowledged(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    clients = [RunningClient(rig, tmp_path / name, name) for name in ("OMS1", "OMS2")]
    await until(lambda: rig.metrics.gauges.get(OmsGauge.SESSIONS_ACTIVE) == 2)
    for start in range(1, 1001, 100):
        halt = signal_row(start, kind=SignalKind.BREAKER, level=BreakerLevel.HALTED)
        rig.push(halt, *(signal_row(number) for number in range(start + 1, start + 100)))
        await asyncio.sleep(0)
    await until(lambda: rig.status("OMS1").acknowledged == rig.status("OMS2").acknowledged == 990)
    assert rig.server.published_count == 1000
    assert rig.server.sent_count == 2000
    assert len(rig.metrics.latencies_ns) == 1000
    assert all(0 < latency_ns < 5e9 for latency_ns in rig.metrics.latencies_ns)
    for client in clients:
        report = await client.finish()
        assert (report["distinct"], report["duplicates"], report["missing"]) == (1000, 0, 0)
        assert (report["orders"], report["breaker_changes"]) == (990, 10)
        assert report["acknowledged"] == 990
    await rig.stop()
    assert rig.metrics.counts[OmsCount.CONNECTIONS_CUT] == 0
    assert rig.metrics.counts[OmsCount.EXECUTION_REPORTS] == 1980


async def test_rows_are_shown_to_whoever_watches_after_every_session_has_had_them(tmp_path: Path):
    rig = Rig(tmp_path)
    seen: list[tuple[int, int]] = []

    def note(rows: list[tuple[Any, ...]]) -> None:
        seen.extend((row[ID_COLUMN], rig.status().next_outgoing) for row in rows)

    rig.server.on_rows = note
    await rig.server.start()
    rig.push(*(signal_row(number) for number in range(1, 101)))
    await until(lambda: len(seen) == 100)
    assert [signal_id for signal_id, _ in seen] == list(range(1, 101))
    assert all(next_seq > signal_id for signal_id, next_seq in seen)
    rig.push(signal_row(101))
    await rig.stop()
    assert seen[-1][0] == 101


async def test_who_watches_may_keep_a_row_with_its_legs_beyond_the_next_ones(tmp_path: Path):
    rig = Rig(tmp_path)
    kept: list[tuple[Any, ...]] = []
    rig.server.on_rows = kept.extend
    await rig.server.start()
    given = [(number, number + 1, 0, 0, 0, 0, 0, 0) for number in (3, 8)]
    for number, legs in enumerate(given, 1):
        rig.push(signal_row(number, leg_count=2, legs=legs))
        await until(lambda count=number: len(kept) == count)
    await rig.stop()
    at = (SIGNAL.names or ()).index("legs")
    assert [tuple(row[at]) for row in kept] == given


async def test_signals_of_several_shards_are_numbered_as_those_of_one(tmp_path: Path):
    # Each shard numbers from 1; what leaves goes on behind what left before a restart.
    for first in (1, 91):
        rig = Rig(tmp_path / "server", rings=3, send_from="loop")
        await rig.server.start()
        assert rig.server.last_signal_id == first - 1
        running = RunningClient(rig, tmp_path / "client")
        await until(lambda made=rig: made.status().state == "ACTIVE")
        for start in range(1, 31, 10):
            for ring in range(3):
                rig.push(*(signal_row(start + at) for at in range(10)), ring=ring)
            await asyncio.sleep(0.001)
        await until(lambda at=running: at.client.ledger.ids.count == 90)
        report = await running.finish()
        assert (report["min_id"], report["max_id"]) == (first, first + 89)
        assert (report["distinct"], report["duplicates"]) == (90, 0)
        await rig.stop()


async def test_cuts_in_mid_stream_lose_and_double_nothing(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    running = RunningClient(rig, tmp_path / "client")
    await until(lambda: rig.status().state == "ACTIVE")
    next_id = 1
    for cut in range(6):
        for _ in range(5):
            rig.push(*(signal_row(next_id + at) for at in range(40)))
            next_id += 40
            await asyncio.sleep(0.002)
        link = rig.server._accounts["OMS1"].link if cut % 2 else running.link
        assert link is not None
        link.close("cut by the test")
        rig.push(*(signal_row(next_id + at) for at in range(10)))
        next_id += 10
        await until(lambda seen=cut: running.client.logons == seen + 2)
    await until(lambda: running.client.ledger.ids.count == next_id - 1)
    await until(lambda: rig.status().acknowledged == next_id - 1)
    report = await running.finish()
    assert (report["distinct"], report["duplicates"], report["missing"]) == (next_id - 1, 0, 0)
    assert report["gaps"] >= 1
    assert report["poss_dup_received"] >= 60
    await rig.stop()
    assert rig.metrics.counts[OmsCount.MESSAGES_REPLAYED] >= 60
    assert rig.metrics.counts[OmsCount.CONNECTIONS_CUT] == 6
    measured = len(rig.metrics.latencies_ns) + rig.metrics.counts[OmsCount.SIGNALS_UNMEASURED]
    assert measured == next_id - 1


async def test_a_restarted_server_goes_on_with_numbers_ids_and_what_was_missed(tmp_path: Path):
    rig = Rig(tmp_path / "server")
    await rig.server.start()
    running = RunningClient(rig, tmp_path / "client")
    await until(lambda: rig.status().state == "ACTIVE")
    rig.push(*(signal_row(number) for number in range(1, 51)))
    await until(lambda: running.client.ledger.ids.count == 50)
    await running.finish()
    rig.push(*(signal_row(number) for number in range(51, 101)))
    await until(lambda: rig.server.published_count == 100)
    numbers = rig.status().next_outgoing
    await rig.stop()

    again = Rig(tmp_path / "server")
    await again.server.start()
    assert again.status().next_outgoing == numbers
    assert again.server.last_signal_id == 100
    second = RunningClient(again, tmp_path / "client")
    await until(lambda: second.client.ledger.ids.count == 50)
    again.push(signal_row(101))
    await until(lambda: second.client.ledger.ids.count == 51)
    report = await second.finish()
    assert (report["min_id"], report["max_id"], report["duplicates"]) == (51, 101, 0)
    assert report["ids_contiguous"]
    await again.stop()


@pytest.mark.parametrize("occasion", ["reject", "reset", "killed"])
async def test_no_signal_id_comes_again_whatever_the_stores_say(tmp_path: Path, occasion: str):
    rig = Rig(tmp_path)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    rig.push(*(signal_row(number) for number in range(1, 4)))
    for _ in range(3):
        await peer.hear()
    if occasion == "reject":
        # The newest message of the store is then one without an id.
        entries = ((267, 1), (269, "0"), (146, 1), (55, "X"))
        await peer.say(b"V", encode_fields((262, "x"), (263, "1"), (264, 1), *entries))
        assert (await peer.hear()).msg_type == b"j"
    peer.sock.close()
    await until(lambda: rig.status().state == "DISCONNECTED")
    if occasion == "killed":
        rig.server._ids = None
    for session in ("OMS1", "OMS2") if occasion == "reset" else ():
        again = RawPeer(await dial(rig.server.port), session)
        await again.say(b"A", encode_fields((98, 0), (108, 30), (141, "Y")))
        assert (await again.hear()).get(141) == b"Y"
        again.sock.close()
        await until(lambda name=session: rig.status(name).state == "DISCONNECTED")
    await rig.stop()
    second = Rig(tmp_path)
    await second.server.start()
    assert second.server.last_signal_id == 3
    await second.stop()


async def test_stores_of_before_the_mark_tell_the_newest_id(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    rig.push(signal_row(41))
    await until(lambda: rig.server.published_count == 1)
    await rig.stop()
    (tmp_path / "signal-ids").unlink()
    again = Rig(tmp_path)
    await again.server.start()
    assert again.server.last_signal_id == 41
    await again.stop()


async def test_a_mark_that_cannot_be_kept_is_told_once_and_holds_no_signal_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    rig = Rig(tmp_path)
    await rig.server.start()

    def refuse(_last: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(rig.server._ids, "note", refuse)
    for number in (1, 2):
        rig.push(signal_row(number))
        await until(lambda done=number: rig.server.published_count == done)
    assert capsys.readouterr().out.count("oms_signal_ids_not_reserved") == 1
    await rig.stop()


async def test_a_mark_that_is_none_is_refused_and_leaves_the_stores_free(tmp_path: Path):
    (tmp_path / "signal-ids").mkdir()
    rig = Rig(tmp_path)
    with pytest.raises(StoreError, match=r"signal-ids: cannot be used: Is a directory"):
        await rig.server.start()
    (tmp_path / "signal-ids").rmdir()
    (tmp_path / "signal-ids").write_bytes(b"x")
    with pytest.raises(StoreError, match="no file of signal ids"):
        await rig.server.start()
    os.close(rig.wakeup_fd)
    FileStore(tmp_path / "session-OMS1").close()


async def test_timers_go_on_after_one_of_them_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    rig = Rig(tmp_path, logon_timeout_s=1)
    await rig.server.start()
    failures = []

    def fail(*_arguments: object) -> None:
        failures.append(1)
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rig.server, "_refuse", fail)
    sock = await dial(rig.server.port)
    assert await read_to_end(sock) == b""
    assert failures == [1]
    await rig.stop()


async def test_stop_publishes_what_is_in_the_ring_and_says_logout(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    rig.push(*(signal_row(number) for number in range(1, 101)))
    stopping = asyncio.create_task(rig.stop())
    for number in range(1, 101):
        assert (await peer.hear()).get(11) == b"%d" % number
    assert (await peer.hear()).msg_type == b"5"
    await peer.say(b"5")
    assert await read_to_end(peer.sock) == b""
    await stopping
    assert rig.server.port == 0
    assert rig.metrics.counts[OmsCount.CONNECTIONS_CUT] == 0


async def test_stop_does_not_wait_for_a_peer_that_says_nothing(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    start_s = time.monotonic()
    await rig.server.stop(0.3)
    assert time.monotonic() - start_s < 1.0
    assert (await peer.hear()).msg_type == b"5"
    peer.sock.close()
    os.close(rig.wakeup_fd)


async def test_a_taken_port_is_the_callers_error_and_leaves_the_stores_free(tmp_path: Path):
    rig = Rig(tmp_path / "one")
    await rig.server.start()
    other = Rig(tmp_path / "two", port=rig.server.port)
    with pytest.raises(OSError, match="ddress already in use"):
        await other.server.start()
    await rig.stop()
    await other.server.start()
    await other.stop()


async def test_random_bytes_are_counted_and_change_nothing_else(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    running = RunningClient(rig, tmp_path / "client")
    await until(lambda: rig.status().state == "ACTIVE")
    rng = random.Random(5)
    for number in range(30):
        sock = await dial(rig.server.port)
        await asyncio.get_running_loop().sock_sendall(sock, rng.randbytes(rng.randrange(1, 3000)))
        rig.push(signal_row(number + 1))
        if rng.random() < 0.7:
            await read_to_end(sock)
        else:
            sock.close()
    await until(lambda: rig.metrics.counts[OmsCount.CONNECTIONS_REFUSED] == 30)
    await until(lambda: rig.status().acknowledged == 30)
    assert rig.metrics.gauges[OmsGauge.SESSIONS_ACTIVE] == 1
    assert rig.metrics.counts[OmsCount.LOGONS] == 1
    await running.finish()
    await rig.stop()


async def test_a_logon_that_drips_in_too_slowly_is_refused_at_the_deadline(tmp_path: Path):
    rig = Rig(tmp_path, logon_timeout_s=1)
    await rig.server.start()
    sock = await dial(rig.server.port)
    wire = encode(Identity("OMS1", "FEEDHANDLER"), b"A", 1, b"20260921-12:00:00.000", b"98=0\x01")
    start_s = time.monotonic()
    with suppress(ConnectionResetError, BrokenPipeError):
        for byte in wire * 10:
            await asyncio.get_running_loop().sock_sendall(sock, bytes([byte]))
            await asyncio.sleep(0.02)
        pytest.fail("the server let the Logon drip on")
    assert 0.9 < time.monotonic() - start_s < 2.0
    sock.close()
    assert rig.metrics.counts[OmsCount.CONNECTIONS_REFUSED] == 1
    await rig.stop()


async def test_too_many_bytes_before_the_logon_are_refused(tmp_path: Path):
    rig = Rig(tmp_path, pre_logon_cap_bytes=512)
    await rig.server.start()
    sock = await dial(rig.server.port)
    await asyncio.get_running_loop().sock_sendall(
        sock, b"8=FIX.4.4\x019=511\x0135=A\x01" + b"5" * 600
    )
    assert await read_to_end(sock) == b""
    assert rig.metrics.counts[OmsCount.CONNECTIONS_REFUSED] == 1
    await rig.stop()


@pytest.mark.parametrize(
    ("sender", "msg_type"), [("STRANGER", b"A"), ("OMS1", b"0"), ("OMS1", b"D")]
)
async def test_strangers_and_messages_before_the_logon_get_no_answer(
    tmp_path: Path, sender: str, msg_type: bytes
):
    rig = Rig(tmp_path)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port), sender)
    await peer.say(msg_type, encode_fields((98, 0), (108, 30)))
    assert await read_to_end(peer.sock) == b""
    assert rig.metrics.counts[OmsCount.CONNECTIONS_REFUSED] == 1
    assert rig.status().next_outgoing == 1
    await rig.stop()


async def test_a_second_connection_of_an_identity_is_refused_and_the_first_goes_on(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    first = RawPeer(await dial(rig.server.port))
    await first.log_on()
    second = RawPeer(await dial(rig.server.port))
    await second.say(b"A", encode_fields((98, 0), (108, 30)))
    assert await read_to_end(second.sock) == b""
    rig.push(signal_row(1))
    assert (await first.hear()).get(11) == b"1"
    first.sock.close()
    await rig.stop()


async def test_a_connection_beyond_the_cap_takes_the_place_of_the_oldest(tmp_path: Path):
    rig = Rig(tmp_path, max_pending_connections=3)
    await rig.server.start()
    waiting = [await dial(rig.server.port) for _ in range(3)]
    await until(lambda: len(rig.server._doorways) == 3)
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    assert await read_to_end(waiting.pop(0)) == b""
    assert len(rig.server._doorways) == 2
    assert rig.metrics.counts[OmsCount.CONNECTIONS_REFUSED] == 1
    for sock in (*waiting, peer.sock):
        sock.close()
    await rig.stop()


async def test_an_oms_that_does_not_read_is_cut_and_slows_nobody(tmp_path: Path):
    rig = Rig(tmp_path, outbound_cap_bytes=100_000)
    await rig.server.start()
    mute_sock = socket.socket()
    mute_sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    mute_sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(mute_sock, ("127.0.0.1", rig.server.port))
    await RawPeer(mute_sock, "OMS2").log_on()
    running = RunningClient(rig, tmp_path / "client")
    await until(lambda: rig.status("OMS1").state == "ACTIVE")
    next_id = 1
    while rig.status("OMS2").state == "ACTIVE":
        assert next_id < 60_000
        rig.push(*(signal_row(next_id + at) for at in range(200)))
        next_id += 200
        await asyncio.sleep(0.001)
    await until(lambda: running.client.ledger.ids.count == next_id - 1)
    assert rig.metrics.counts[OmsCount.CONNECTIONS_CUT] == 1
    mute_sock.close()
    report = await running.finish()
    assert report["duplicates"] == 0
    # What an OMS2 with a store of its own would have noted: one Logon sent, one received.
    noted = FileStore(tmp_path / "late")
    noted.append((b"",))
    noted.set_next_incoming(2)
    noted.close()
    late = RunningClient(rig, tmp_path / "late", "OMS2")
    await until(lambda: late.client.ledger.ids.count == next_id - 1)
    await late.finish()
    await rig.stop()


async def test_rows_that_name_nothing_known_are_counted_and_the_next_are_sent(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    rig.push(signal_row(1, side=0), signal_row(2), signal_row(3, kind=9))
    await until(lambda: rig.server.published_count == 1)
    assert rig.metrics.counts[OmsCount.SIGNALS_MALFORMED] == 2
    assert rig.status().next_outgoing == 2
    await rig.stop()


async def test_a_full_disk_costs_that_session_the_signals_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rig = Rig(tmp_path)
    await rig.server.start()

    def refuse(_messages: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rig.server._accounts["OMS1"].store, "append", refuse)
    rig.push(signal_row(1), signal_row(2))
    await until(lambda: rig.server.published_count == 2)
    assert rig.metrics.counts[OmsCount.SIGNALS_UNSTORED] == 2
    assert rig.status("OMS1").next_outgoing == 1
    assert rig.status("OMS2").next_outgoing == 3
    peer = RawPeer(await dial(rig.server.port))
    await peer.say(b"A", encode_fields((98, 0), (108, 30)))
    assert await read_to_end(peer.sock) == b""
    monkeypatch.undo()
    again = RawPeer(await dial(rig.server.port))
    await again.log_on()
    monkeypatch.setattr(rig.server._accounts["OMS1"].store, "append", refuse)
    await again.say(b"1", encode_fields((112, "x")))
    assert await read_to_end(again.sock) == b""
    monkeypatch.undo()
    await rig.stop()


async def test_an_acknowledgement_of_an_id_that_was_never_published_is_not_counted(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    rig.push(signal_row(1))
    assert (await peer.hear()).get(11) == b"1"
    for order_id in (b"1", b"1", b"2", b"x"):
        body = b"37=1\x0117=1\x01150=0\x0139=0\x0111=%b\x0155=X\x0154=1\x01151=1\x0114=0\x016=0\x01"
        await peer.say(b"8", body % order_id)
    await until(lambda: rig.status().execution_reports == 4)
    assert rig.status().acknowledged == 1
    peer.sock.close()
    await until(lambda: rig.status().state == "DISCONNECTED")
    await rig.stop()


async def test_garbage_within_a_session_is_counted_and_the_session_goes_on(tmp_path: Path):
    rig = Rig(tmp_path)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    await asyncio.get_running_loop().sock_sendall(peer.sock, b"\x00\xff" * 50)
    await peer.say(b"1", encode_fields((112, "still here")))
    assert (await peer.hear()).get(112) == b"still here"
    await until(lambda: rig.metrics.counts[OmsCount.GARBLED] == 1)
    peer.sock.close()
    await rig.stop()


async def test_outside_of_the_sessions_hours_an_oms_is_refused_and_one_inside_is_logged_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rig = Rig(tmp_path)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    hours = rig.server._accounts["OMS1"].hours
    monkeypatch.setattr(hours, "are_open", lambda _now_ns: False)
    goodbye = await peer.hear()
    assert goodbye.msg_type == b"5"
    assert goodbye.get(58) == b"outside of the session's hours"
    await peer.say(b"5")
    await until(lambda: rig.server._accounts["OMS1"].link is None)
    late = RawPeer(await dial(rig.server.port))
    await late.say(b"A", encode_fields((98, 0), (108, 30)))
    assert await read_to_end(late.sock) == b""
    for each in (peer, late):
        each.sock.close()
    assert rig.metrics.counts[OmsCount.CONNECTIONS_REFUSED] == 1
    await rig.stop()


async def test_the_first_logon_of_a_window_starts_the_numbers_at_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    session = {"StartTime": "08:00:00", "EndTime": "07:59:59"}
    rig = Rig(tmp_path, session=session)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    account = rig.server._accounts["OMS1"]
    assert account.store.next_outgoing > 1
    peer.sock.close()
    await until(lambda: account.link is None)
    day_ns = 24 * 3_600 * 10**9
    clock_ns = rig.server._clock_ns
    monkeypatch.setattr(account.hours, "_last_used_ns", clock_ns() - 2 * day_ns)
    monkeypatch.setattr(account.hours, "are_open", lambda _now_ns: True)
    again = RawPeer(await dial(rig.server.port))
    await again.say(b"A", encode_fields((98, 0), (108, 30)))
    assert (await again.hear()).get(34) == b"1"
    again.sock.close()
    await rig.stop()


async def test_a_store_that_cannot_be_reset_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rig = Rig(tmp_path)
    await rig.server.start()

    def refuse(_now_ns: int) -> bool:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(rig.server._accounts["OMS1"].hours, "begin", refuse)
    peer = RawPeer(await dial(rig.server.port))
    await peer.say(b"A", encode_fields((98, 0), (108, 30)))
    assert await read_to_end(peer.sock) == b""
    peer.sock.close()
    await rig.stop()


def test_a_store_tells_when_it_was_used_last(tmp_path: Path):
    store = FileStore(tmp_path)
    assert store.last_used_ns == 0
    before_ns = time.time_ns() - 10**9
    store.append([b"one"])
    assert store.last_used_ns >= before_ns
    store.close()
