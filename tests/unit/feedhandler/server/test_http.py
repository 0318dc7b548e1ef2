import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest
import uvloop

from feedhandler.server import http
from feedhandler.server.errors import OsLimitError
from feedhandler.server.http import MAX_CONNECTIONS, TEXT, HttpServer, Response

BIG = b"x" * 4_000_000


def broken():
    raise RuntimeError("a fault in a handler")


ROUTES = {
    "/metrics": lambda: (200, TEXT, b"figures\n"),
    "/readyz": lambda: (503, "application/json", b"{}"),
    "/big": lambda: (200, TEXT, BIG),
    "/broken": broken,
}


@contextlib.asynccontextmanager
async def serving(timeout_s: float = 5.0):
    rejects = []
    server = HttpServer("127.0.0.1", 0, ROUTES, rejects.append, timeout_s=timeout_s)
    await server.start()
    try:
        yield server, rejects
    finally:
        await server.stop()


async def exchange(server: HttpServer, request: bytes):
    """Send bytes, then everything that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def until(condition: Callable[[], bool]):
    """Let the server's side run until something holds; fails after two seconds."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the server never got there")


def get(path: str, *headers: str, method: str = "GET"):
    lines = (f"{method} {path} HTTP/1.1", "Host: here", *headers, "", "")
    return "\r\n".join(lines).encode()


async def test_a_page_is_served_with_type_and_length():
    async with serving() as (server, rejects):
        answer = await exchange(server, get("/metrics?x=1", "Connection: close"))
    head, body = answer.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: 8" in head.lower()
    assert b"content-type: text/plain" in head.lower()
    assert body == b"figures\n"
    assert rejects == []


async def test_the_handler_chooses_the_status():
    async with serving() as (server, _):
        answer = await exchange(server, get("/readyz", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 503")


async def test_one_connection_serves_many_requests_even_sent_at_once():
    async with serving() as (server, rejects):
        last = get("/metrics", "Connection: close")
        answer = await exchange(server, get("/metrics") * 20 + last)
    assert answer.count(b"figures\n") == 21
    assert rejects == []


async def test_requests_sent_at_once_leave_turns_to_everybody_else():
    made: list[int] = []
    turns = 0

    def slow() -> Response:
        made.append(turns)
        return 200, TEXT, b"page\n"

    async with serving() as (server, _):
        server.routes = {"/slow": slow}
        loop = asyncio.get_running_loop()

        def count_turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count_turn)

        loop.call_soon(count_turn)
        last = get("/slow", "Connection: close")
        answers = await asyncio.gather(
            *(exchange(server, get("/slow") * 30 + last) for _ in range(3))
        )
    assert [answer.count(b"page\n") for answer in answers] == [31, 31, 31]
    assert len(set(made)) == len(made) == 93


async def test_page_that_has_to_wait_is_sent_when_it_is_ready_and_in_its_order():
    ready: asyncio.Future[tuple[int, str, bytes]] = asyncio.get_running_loop().create_future()
    async with serving() as (server, rejects):
        server.routes = {**ROUTES, "/later": lambda: ready}
        last = get("/metrics", "Connection: close")
        waiting = asyncio.create_task(exchange(server, get("/later") + last))
        answer = await exchange(server, last)
        assert answer.endswith(b"figures\n")
        assert not waiting.done()
        ready.set_result((200, TEXT, b"at last\n"))
        answer = await waiting
    assert answer.index(b"at last\n") < answer.index(b"figures\n")
    assert rejects == []


async def test_page_that_fails_while_it_is_waited_for_is_an_answer_too():
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    async def broken_later() -> Response:
        await asyncio.sleep(0)
        raise RuntimeError("a fault in a handler")

    async with serving() as (server, rejects):
        server.routes = {"/later": broken_later}
        answer = await exchange(server, get("/later", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 500")
    assert rejects == ["handler_failed"]


async def test_page_that_never_comes_and_a_peer_that_left_leave_nothing_behind():
    never: asyncio.Future[tuple[int, str, bytes]] = asyncio.get_running_loop().create_future()
    async with serving(timeout_s=0.1) as (server, _):
        server.routes = {"/later": lambda: never}
        assert await exchange(server, get("/later")) == b""
        assert never.cancelled()
        assert not server.connections


async def test_head_gets_the_header_of_the_page_and_no_body():
    async with serving() as (server, rejects):
        last = get("/metrics", "Connection: close")
        answer = await exchange(server, get("/metrics", method="HEAD") + last)
        missing = await exchange(server, get("/nothing", "Connection: close", method="HEAD"))
    assert answer.lower().count(b"content-length: 8") == 2
    assert answer.count(b"figures\n") == 1
    assert missing.startswith(b"HTTP/1.1 404")
    assert missing.endswith(b"\r\n\r\n")
    assert rejects == ["not_found"]


async def test_answer_that_is_none_cuts_the_connection_and_is_counted():
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    async with serving() as (server, rejects):
        server.routes = {"/wrong": lambda: (200, "text/plain\r\nX: y", b"")}
        assert await exchange(server, get("/wrong")) == b""
    assert rejects == ["handler_failed"]
    assert len(reports) == 1


async def test_half_a_request_is_refused_and_counted():
    async with serving() as (server, rejects):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHo")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert rejects == ["bad_request"]


async def test_a_peer_that_closes_after_its_answer_is_no_fault():
    async with serving() as (server, rejects):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/metrics"))
        writer.write_eof()
        assert (await reader.read()).endswith(b"figures\n")
        writer.close()
    assert rejects == []


async def test_a_request_may_arrive_byte_by_byte():
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in get("/metrics", "Connection: close"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b"figures\n")
        writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (b"\x00\x01garbage\r\n\r\n", b"400", "bad_request"),
        (b"8=FIX.4.4\x019=5\x0135=A\x01\r\n\r\n", b"400", "bad_request"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400", "bad_request"),
        (get("/metrics", method="POST"), b"405", "method_not_allowed"),
        (get("/metrics", f"X: {'y' * 9000}"), b"413", "too_large"),
        (get("/nothing", "Connection: close"), b"404", "not_found"),
        (get("/broken", "Connection: close"), b"500", "handler_failed"),
    ],
)
async def test_what_breaks_a_rule_is_answered_closed_and_counted(
    request_bytes: bytes, status: bytes, reason: str
):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with serving() as (server, rejects):
        answer = await exchange(server, request_bytes)
        good = await exchange(server, get("/metrics", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert rejects == [reason]
    assert good.endswith(b"figures\n")


async def test_a_failing_handler_is_reported_to_the_loop():
    reports = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    async with serving() as (server, _):
        await exchange(server, get("/broken", "Connection: close"))
    assert [str(error) for error in reports] == ["a fault in a handler"]


async def test_a_request_that_never_ends_is_timed_out_and_delays_nobody():
    async with serving(timeout_s=0.2) as (server, rejects):
        slow = asyncio.create_task(exchange(server, b"GET /metrics HTTP/1.1\r\n"))
        answer = await exchange(server, get("/metrics", "Connection: close"))
        assert answer.endswith(b"figures\n")
        assert not slow.done()
        assert (await slow).startswith(b"HTTP/1.1 408")
    assert rejects == ["timeout"]


async def test_a_silent_connection_is_timed_out():
    async with serving(timeout_s=0.1) as (server, rejects):
        assert (await exchange(server, b"")).startswith(b"HTTP/1.1 408")
    assert rejects == ["timeout"]


async def test_an_idle_connection_that_was_served_is_closed_without_a_count():
    async with serving(timeout_s=0.1) as (server, rejects):
        answer = await exchange(server, get("/metrics"))
    assert answer.endswith(b"figures\n")
    assert rejects == []


async def test_a_peer_that_does_not_read_its_answer_is_dropped():
    async with serving(timeout_s=0.2) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(get("/big") * 10)
        await asyncio.sleep(0.1)
        assert len(server.connections) == 1
        await asyncio.sleep(0.4)
        assert len(server.connections) == 0
        with contextlib.suppress(ConnectionResetError):
            assert len(await reader.read()) < 10 * len(BIG)
        writer.close()


async def test_answers_larger_than_the_socket_arrive_whole():
    async with serving() as (server, _):
        last = get("/big", "Connection: close")
        answer = await exchange(server, get("/big") + last)
    assert answer.count(b"x") >= 2 * len(BIG)


async def test_one_connection_too_many_is_dropped_and_the_others_go_on():
    async with serving() as (server, rejects):
        held = [
            await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)
        ]
        await until(lambda: len(server.connections) == MAX_CONNECTIONS)
        assert await exchange(server, get("/metrics")) == b""
        assert rejects == ["too_many_connections"]
        reader, writer = held[0]
        writer.write(get("/metrics", "Connection: close"))
        assert (await reader.read()).endswith(b"figures\n")
        for _, writer in held:
            writer.close()


async def test_a_client_that_leaves_early_leaves_nothing_behind():
    async with serving() as (server, rejects):
        for request in (b"", b"GET /met", get("/metrics")):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)
        assert not server.connections
    assert set(rejects) <= {"bad_request"}


async def test_a_taken_port_is_one_clear_error():
    async with serving() as (server, _):
        second = HttpServer("127.0.0.1", server.port, ROUTES, lambda _: None)
        with pytest.raises(OsLimitError, match=f"127.0.0.1:{server.port}"):
            await second.start()
        await second.stop()


async def test_stopping_drops_connections_and_frees_the_port():
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: len(server.connections) == 1)
        await server.stop()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await asyncio.open_connection("127.0.0.1", server.port)


def test_the_limits_are_those_that_the_manual_states():
    limits = (http.REQUEST_TIMEOUT_S, http.MAX_CONNECTIONS, http.MAX_REQUEST_BYTES)
    assert limits == (5.0, 32, 8192)


def test_the_same_holds_on_the_event_loop_of_the_server():
    async def scenario() -> list[str]:
        async with serving(timeout_s=0.2) as (server, rejects):
            assert (await exchange(server, b"\x00garbage\r\n\r\n")).startswith(b"HTTP/1.1 400")
            assert (await exchange(server, b"GET /")).startswith(b"HTTP/1.1 408")
            large = await exchange(server, get("/big", "Connection: close"))
            assert large.endswith(BIG)
            with pytest.raises(OsLimitError):
                await HttpServer("127.0.0.1", server.port, ROUTES, rejects.append).start()
            return rejects

    assert uvloop.run(scenario()) == ["bad_request", "timeout"]


def test_random_bytes_are_refused_and_leave_the_pages_served():
    source = random.Random(7)

    async def scenario() -> list[str]:
        async with serving() as (server, rejects):
            for _ in range(200):
                size = source.randrange(1, 2_000)
                await exchange(server, source.randbytes(size) + b"\r\n\r\n")
            answer = await exchange(server, get("/metrics", "Connection: close"))
            assert answer.endswith(b"figures\n")
            return rejects

    assert uvloop.run(scenario()) == ["bad_request"] * 200
