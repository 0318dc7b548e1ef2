"""Signals that the producer's thread sends itself: numbers, order and the store stay right, whoever
sends.

Here both sides are called by turns on one thread; two threads at once: `tests/stress`.
"""

import asyncio
import errno
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from feedhandler.core.events import BreakerLevel, SignalKind
from oms_out.contract import OmsCount
from oms_out.outlet import FILE_NAME
from oms_out.outlet_layout import FILE_HEADER_BYTES, OUTLETS_MAX, SLOT_BYTES, SLOTS, Word
from oms_out.signal_ids import BLOCK_IDS
from oms_out.store import FileStore, StoreError
from protocols.fix.message import FixMessage, decode, encode_fields
from tests.unit.oms_out.support import RawPeer, Rig, dial, signal_row, until


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A started server."""
    made = Rig(tmp_path / "oms")
    await made.server.start()
    yield made
    await made.stop()


async def log_on(rig: Rig, sender: str = "OMS1") -> RawPeer:
    """A peer whose session the producer may send to."""
    peer = RawPeer(await dial(rig.server.port), sender)
    await peer.log_on()
    await until(lambda: rig.is_free(sender))
    return peer


def numbers(message: FixMessage) -> tuple[int | None, int | None]:
    """(MsgSeqNum, signal id)."""
    return message.number(34), message.number(5001)


def kept(folder: Path) -> list[tuple[int, int | None]]:
    """(number, signal id) of every message in a store; None for a session message."""
    store = FileStore(folder)
    try:
        found = store.read(1, store.next_outgoing)
        return [(seq, decode(raw).number(5001) if raw else None) for seq, raw in found]
    finally:
        store.close()


def orders(*ids: int) -> list[tuple[int, ...]]:
    return [signal_row(signal_id) for signal_id in ids]


async def test_a_signal_is_on_the_wire_before_the_loop_knows_of_it(rig: Rig, tmp_path: Path):
    peer = await log_on(rig)
    rig.emit(*orders(1), signal_row(2, kind=SignalKind.BREAKER, level=BreakerLevel.HALTED))
    data = peer.sock.recv(65_536)
    assert (data.count(b"8=FIX.4.4\x01"), rig.server.published_count) == (2, 0)
    peer.framer.feed(data)
    assert [numbers(await peer.hear()) for _ in range(2)] == [(2, 1), (3, 2)]
    # An admin sees the number; nothing is taken over for that.
    assert rig.status().next_outgoing == 4
    assert rig.is_free()
    rig.wake()
    await until(lambda: rig.server.published_count == 2)
    assert rig.is_free()
    assert rig.metrics.counts[OmsCount.SIGNALS_PUBLISHED] == 2
    assert rig.metrics.counts[OmsCount.MESSAGES_SENT] == rig.server.sent_count == 2
    assert rig.metrics.counts[OmsCount.SIGNALS_UNMEASURED] == 0
    assert len(rig.metrics.latencies_ns) == 2
    assert all(0 < latency_ns < 10**9 for latency_ns in rig.metrics.latencies_ns)
    assert rig.server.last_signal_id == 2
    await rig.server.stop(0.1)
    assert kept(tmp_path / "oms/session-OMS1")[:3] == [(1, None), (2, 1), (3, 2)]
    # Nobody was logged on there: stored all the same.
    assert kept(tmp_path / "oms/session-OMS2") == [(1, 1), (2, 2)]
    peer.sock.close()


async def test_the_loop_and_the_producer_number_and_send_by_turns(rig: Rig):
    peer = await log_on(rig)
    next_id, heard = 1, []
    for turn in range(20):
        rig.emit(*orders(*range(next_id, next_id + 3)))
        await peer.say(b"1", encode_fields((112, f"T{turn}")))
        rig.emit(*orders(*range(next_id + 3, next_id + 5)))
        next_id += 5
        rig.wake()
        heard += [await peer.hear() for _ in range(6)]
        await until(rig.is_free)
    assert [message.number(34) for message in heard] == list(range(2, 122))
    ids = [message.number(5001) for message in heard if message.msg_type == b"D"]
    assert ids == list(range(1, 101))
    assert sum(message.msg_type == b"0" for message in heard) == 20
    assert rig.server.published_count == len(rig.metrics.latencies_ns) == 100
    peer.sock.close()


async def test_what_waits_in_the_ring_keeps_younger_signals_there_too(rig: Rig):
    peer = await log_on(rig)
    outlet = rig.outlet()
    outlet.take()
    rig.emit(*orders(1, 2))
    # At rest again, but the ring holds two signals that are older than the next.
    outlet.offer(rig.server._accounts["OMS1"].link._sock.fileno())  # type: ignore[union-attr]
    rig.emit(*orders(3))
    with pytest.raises(BlockingIOError):
        peer.sock.recv(1)
    assert rig.is_free()
    rig.wake()
    assert [numbers(await peer.hear()) for _ in range(3)] == [(2, 1), (3, 2), (4, 3)]
    rig.emit(*orders(4))
    assert b"\x015001=4\x01" in peer.sock.recv(65_536)
    rig.wake()
    await until(lambda: rig.server.published_count == 4)
    assert len(rig.metrics.latencies_ns) == 4
    peer.sock.close()


async def test_a_row_that_names_nothing_is_left_to_be_counted(rig: Rig):
    peer = await log_on(rig)
    rig.emit(*orders(1), signal_row(2, side=0), signal_row(3, source=9), *orders(4))
    assert peer.sock.recv(65_536).count(b"8=FIX") == 1
    rig.wake()
    peer.framer.feed(b"")
    assert numbers(await peer.hear()) == (3, 4)
    assert rig.metrics.counts[OmsCount.SIGNALS_MALFORMED] == 2
    rig.emit(*orders(5))
    assert numbers(await peer.hear()) == (4, 5)
    peer.sock.close()


async def test_a_full_socket_hands_over_and_keeps_the_order(rig: Rig):
    peer = await log_on(rig)
    link = rig.server._accounts["OMS1"].link
    assert link is not None
    link._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_608)
    last_id = 0
    while not rig.outlet().is_stuck:
        last_id += 1
        assert last_id < SLOTS, "the socket takes everything"
        rig.emit(*orders(last_id))
    rig.emit(*orders(*range(last_id + 1, last_id + 41)))
    rig.wake()
    await until(lambda: rig.server.published_count == last_id + 40)
    assert rig.status().queued_bytes > 0
    heard = [numbers(await peer.hear()) for _ in range(last_id + 40)]
    assert heard == [(signal_id + 1, signal_id) for signal_id in range(1, last_id + 41)]
    await until(rig.is_free)
    assert len(rig.metrics.latencies_ns) == last_id + 40
    rig.emit(*orders(last_id + 41))
    assert numbers(await peer.hear()) == (last_id + 42, last_id + 41)
    peer.sock.close()


async def test_a_tick_takes_the_rest_when_no_row_comes(rig: Rig):
    """The row's wake-up got lost."""
    peer = await log_on(rig)
    outlet = rig.outlet()
    rig.emit(*orders(1))
    first = peer.sock.recv(65_536)
    outlet._words[Word.UNSENT] = 10
    outlet._words[Word.STATE] = 3
    assert peer.sock.setblocking(False) is None
    data = await asyncio.get_running_loop().sock_recv(peer.sock, 65_536)
    assert data == first[-10:]
    await until(rig.is_free)
    peer.sock.close()


async def test_a_dead_socket_ends_the_link_and_the_signal_is_asked_for_later(rig: Rig):
    peer = await log_on(rig)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    peer.sock.close()
    rig.emit(*orders(1))
    assert rig.outlet().is_stuck
    rig.wake()
    await until(lambda: rig.status().state == "DISCONNECTED")
    assert rig.metrics.counts[OmsCount.SIGNALS_UNMEASURED] == 1
    again = RawPeer(await dial(rig.server.port))
    again.seq = peer.seq
    await again.log_on()
    await again.say(b"2", encode_fields((7, 2), (16, 2)))
    message = await again.hear()
    assert (numbers(message), message.flag(43)) == ((2, 1), True)
    again.sock.close()


async def test_a_resend_in_mid_stream_is_answered_in_order(rig: Rig):
    peer = await log_on(rig)
    rig.emit(*orders(*range(1, 101)))
    assert [numbers(await peer.hear())[1] for _ in range(100)] == list(range(1, 101))
    await peer.say(b"2", encode_fields((7, 2), (16, 0)))
    rig.emit(*orders(*range(101, 111)))
    for signal_id in range(111, 161):
        rig.emit(*orders(signal_id))
        rig.wake()
        await asyncio.sleep(0)
    seen: list[tuple[int | None, int | None]] = []
    fresh: list[tuple[int | None, int | None]] = []
    while (161, 160) not in fresh:
        message = await peer.hear()
        (seen if message.flag(43) else fresh).append(numbers(message))
    assert fresh == [(at + 1, at) for at in range(101, 161)]
    assert seen[:100] == [(at + 1, at) for at in range(1, 101)]
    peer.sock.close()


async def test_a_heartbeat_is_not_due_while_signals_go_out(rig: Rig):
    peer = await log_on(rig)
    session = rig.server._accounts["OMS1"].session
    session.outbound.last_sent_ns -= 60 * 10**9
    rig.emit(*orders(1))
    assert rig.server._accounts["OMS1"].link is not None
    rig.server._accounts["OMS1"].link.tick(rig.outlet().last_sent_ns)
    assert peer.sock.recv(65_536).count(b"8=FIX") == 1
    with pytest.raises(BlockingIOError):
        peer.sock.recv(1)
    peer.sock.close()


async def test_slots_that_are_all_in_use_leave_the_rest_to_the_ring(rig: Rig):
    peer = await log_on(rig)
    rig.emit(*orders(*range(1, SLOTS + 51)))
    assert rig.status().next_outgoing == SLOTS + 2
    rig.wake()
    heard = [numbers(await peer.hear()) for _ in range(SLOTS + 50)]
    assert heard == [(at + 1, at) for at in range(1, SLOTS + 51)]
    peer.sock.close()


async def test_a_logout_ends_the_producers_right_to_send(rig: Rig):
    peer = await log_on(rig)
    await peer.say(b"5")
    rig.emit(*orders(1))
    messages = [await peer.hear(), await peer.hear()]
    assert [message.msg_type for message in messages] == [b"D", b"5"]
    assert not rig.is_free()
    rig.emit(*orders(2))
    rig.wake()
    await until(lambda: rig.server.published_count == 2)
    assert rig.status().next_outgoing == 5
    peer.sock.close()


async def test_a_reset_forgets_the_slots(rig: Rig, tmp_path: Path):
    peer = await log_on(rig)
    rig.emit(*orders(1, 2, 3))
    await peer.say(b"5")
    assert [(await peer.hear()).msg_type for _ in range(4)] == [b"D", b"D", b"D", b"5"]
    peer.sock.close()
    await until(lambda: rig.status().state == "DISCONNECTED")
    rig.wake()
    again = RawPeer(await dial(rig.server.port))
    await again.say(b"A", encode_fields((98, 0), (108, 30), (141, "Y")))
    assert numbers(await again.hear()) == (1, None)
    await until(rig.is_free)
    rig.emit(*orders(4))
    assert numbers(await again.hear()) == (2, 4)
    copy = Rig(copied(tmp_path / "oms", tmp_path / "copy"))
    await copy.server.start()
    assert (copy.status().next_outgoing, copy.server.last_signal_id) == (3, 4)
    await copy.stop()
    again.sock.close()


def copied(folder: Path, to: Path) -> Path:
    """What a process that is killed now leaves behind."""
    shutil.copytree(folder, to)
    return to


async def test_what_was_sent_and_not_stored_is_there_after_a_crash_in_every_session(
    rig: Rig, tmp_path: Path
):
    peer = await log_on(rig)
    rig.emit(*orders(1, 2))
    rig.wake()
    await until(lambda: rig.server.published_count == 2)
    rig.emit(signal_row(3, kind=SignalKind.BREAKER, level=BreakerLevel.HALTED), *orders(4, 5))
    assert rig.server.published_count == 2
    sent = [await peer.hear() for _ in range(5)]
    folder = copied(tmp_path / "oms", tmp_path / "copy")
    copy = Rig(folder)
    await copy.server.start()
    assert copy.status("OMS1").next_outgoing == 7
    assert copy.status("OMS2").next_outgoing == 6
    assert copy.server.last_signal_id == 5
    await copy.stop()
    assert kept(folder / "session-OMS1") == [(1, None), *((at + 1, at) for at in range(1, 6))]
    store, other = FileStore(folder / "session-OMS1"), FileStore(folder / "session-OMS2")
    for message, (_, mine), (_, theirs) in zip(
        sent, store.read(2, 6), other.read(1, 5), strict=True
    ):
        assert decode(mine).fields == message.fields
        ours, others = decode(mine), decode(theirs)
        assert (others.msg_type, others.get(56)) == (ours.msg_type, b"OMS2")
        assert others.fields[7:-1] == ours.fields[7:-1]
    store.close()
    other.close()
    # The next start finds the slots' messages in the store.
    third = Rig(folder, send_from="loop")
    await third.server.start()
    assert third.outlet().recovered == ()
    assert third.status("OMS1").next_outgoing == 7
    await third.stop()
    peer.sock.close()


@pytest.mark.parametrize("at", [0, 8, 16, 24, 64, 200])
async def test_a_torn_slot_and_what_lies_behind_it_was_not_sent(rig: Rig, tmp_path: Path, at: int):
    peer = await log_on(rig)
    rig.emit(*orders(1, 2, 3))
    folder = copied(tmp_path / "oms", tmp_path / "copy")
    # Number 3, of signal 2, is in slot 3.
    place = FILE_HEADER_BYTES + 3 * SLOT_BYTES + at
    with (folder / "session-OMS1" / FILE_NAME).open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x41]))
    copy = Rig(folder)
    await copy.server.start()
    assert [message.signal_id for message in copy.outlet().recovered] == [1]
    assert copy.status().next_outgoing == 3
    await copy.stop()
    again = Rig(folder)
    await again.server.start()
    assert again.outlet().recovered == ()
    await again.stop()
    peer.sock.close()


async def test_a_full_disk_loses_no_signal_that_was_sent(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    peer = await log_on(rig)
    real = FileStore.append

    def refuse(_store: FileStore, _messages: Sequence[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileStore, "append", refuse)
    rig.emit(*orders(*range(1, 11)))
    rig.wake()
    assert [numbers(await peer.hear()) for _ in range(10)] == [(at + 1, at) for at in range(1, 11)]
    await until(lambda: rig.server.published_count == 10)
    # The other session has nobody to send to: it lost them, as ever.
    assert rig.metrics.counts[OmsCount.SIGNALS_UNSTORED] == 10
    assert rig.status().next_outgoing == 12
    # A restart now keeps them, even without room for them.
    folder = copied(tmp_path / "oms", tmp_path / "copy")
    copy = Rig(folder)
    await copy.server.start()
    assert copy.status().next_outgoing == 12
    rig.emit(*orders(*range(11, SLOTS + 21)))
    rig.wake()
    await until(lambda: rig.server.published_count == SLOTS + 20)
    assert rig.metrics.counts[OmsCount.SIGNALS_UNSTORED] == SLOTS + 20 + 20
    monkeypatch.setattr(FileStore, "append", real)
    await copy.stop()
    assert kept(folder / "session-OMS1") == [(1, None), *((at + 1, at) for at in range(1, 11))]
    rig.emit(*orders(SLOTS + 21))
    rig.wake()
    heard = [numbers(await peer.hear()) for _ in range(SLOTS - 10 + 1)]
    assert heard[-1] == (SLOTS + 2, SLOTS + 21)
    await until(rig.is_free)
    peer.sock.close()
    await rig.server.stop(0.1)
    ids = [signal_id for _, signal_id in kept(tmp_path / "oms/session-OMS1") if signal_id]
    assert ids == [*range(1, SLOTS + 1), SLOTS + 21]


async def test_an_id_that_is_not_reserved_waits_for_the_loop(rig: Rig):
    peer = await log_on(rig)
    rig.emit(*orders(BLOCK_IDS - 1, BLOCK_IDS))
    assert peer.sock.recv(65_536).count(b"8=FIX") == 1
    rig.wake()
    assert numbers(await peer.hear()) == (3, BLOCK_IDS)
    await until(rig.is_free)
    rig.emit(*orders(BLOCK_IDS + 1))
    assert numbers(await peer.hear()) == (4, BLOCK_IDS + 1)
    peer.sock.close()


@pytest.mark.parametrize("settings", [{"send_from": "loop"}, {"fsync": True}])
async def test_with_the_switch_off_or_a_disk_to_wait_for_the_loop_sends(
    tmp_path: Path, settings: dict[str, object]
):
    rig = Rig(tmp_path, **settings)
    await rig.server.start()
    assert rig.server.sender().words.shape[0] == 0
    assert not (tmp_path / "session-OMS1" / FILE_NAME).exists()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    rig.emit(*orders(1))
    with pytest.raises(BlockingIOError):
        peer.sock.recv(1)
    rig.wake()
    assert numbers(await peer.hear()) == (2, 1)
    peer.sock.close()
    await rig.stop()


async def test_sessions_beyond_the_outlets_are_sent_to_by_the_loop(tmp_path: Path):
    names = tuple(f"OMS{at}" for at in range(OUTLETS_MAX + 1))
    rig = Rig(tmp_path, allowed=names)
    await rig.server.start()
    last = RawPeer(await dial(rig.server.port), names[-1])
    await last.log_on()
    first = await log_on(rig, names[0])
    assert rig.server.sender().words.shape[0] == OUTLETS_MAX
    rig.emit(*orders(1))
    assert numbers(await first.hear()) == (2, 1)
    with pytest.raises(BlockingIOError):
        last.sock.recv(1)
    rig.wake()
    assert numbers(await last.hear()) == (2, 1)
    assert len(rig.metrics.latencies_ns) == 1
    for peer in (first, last):
        peer.sock.close()
    await rig.stop()


async def test_a_disk_without_room_for_slots_leaves_a_session_to_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = os.posix_fallocate

    def refuse(fd: int, at: int, size: int) -> None:
        if size > SLOT_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, at, size)

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    rig = Rig(tmp_path)
    await rig.server.start()
    assert rig.server._accounts["OMS1"].outlet is None
    assert not (tmp_path / "session-OMS1" / FILE_NAME).exists()
    rig.emit(*orders(1))
    rig.wake()
    await until(lambda: rig.server.published_count == 1)
    await rig.stop()


async def test_a_session_gets_after_a_crash_what_came_since_its_last_signal_only(
    rig: Rig, tmp_path: Path
):
    peer = await log_on(rig)
    rig.emit(*orders(1, 2))
    rig.wake()
    await until(lambda: rig.server.published_count == 2)
    # A reset takes the other session's messages away, not the fact that it had them.
    rig.outlet("OMS2").reset()
    rig.emit(*orders(3))
    # Stored for one session already when the crash comes, before the other's turn.
    rig.outlet().absorb()
    folder = copied(tmp_path / "oms", tmp_path / "copy")
    copy = Rig(folder, allowed=("OMS1", "OMS2", "NEW"))
    await copy.server.start()
    statuses = {item.target_comp_id: item.next_outgoing for item in copy.server.statuses()}
    assert statuses == {"OMS1": 5, "OMS2": 2, "NEW": 1}
    await copy.stop()
    assert kept(folder / "session-OMS2") == [(1, 3)]
    peer.sock.close()


async def test_another_file_under_the_slots_name_is_refused(tmp_path: Path):
    folder = tmp_path / "session-OMS1"
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"something else")
    rig = Rig(tmp_path)
    with pytest.raises(StoreError, match="no slots of a session"):
        await rig.server.start()
    (folder / FILE_NAME).unlink()
    await rig.server.start()
    await rig.stop()


async def test_slots_whose_making_was_cut_off_are_made_again(tmp_path: Path):
    folder = tmp_path / "oms"
    first = Rig(folder)
    await first.server.start()
    await first.stop()
    path = folder / "session-OMS1" / FILE_NAME
    path.write_bytes(bytes(path.stat().st_size))
    copy = Rig(folder)
    await copy.server.start()
    assert copy.outlet().recovered == ()
    await copy.stop()
