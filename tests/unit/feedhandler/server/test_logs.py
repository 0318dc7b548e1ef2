import asyncio
import errno
import io
import json
import logging
import re

import pytest
import structlog

from feedhandler.server.errors import ConfigError
from feedhandler.server.logs import configure_logging, redact, rfc3339_ns


@pytest.fixture
def stream():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield io.StringIO()
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_event_and_component(stream: io.StringIO):
    configure_logging("feed", environ={}, stream=stream)
    structlog.get_logger().info("channel_live", channel="1", seq=42)
    (line,) = lines(stream)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line.pop("ts"))
    assert line == {
        "level": "info",
        "event": "channel_live",
        "component": "feed",
        "channel": "1",
        "seq": 42,
    }


def test_a_logger_may_name_another_component(stream: io.StringIO):
    configure_logging("feed", environ={}, stream=stream)
    structlog.get_logger().bind(component="oms").info("logon")
    assert lines(stream)[0]["component"] == "oms"


def test_the_level_comes_from_the_environment(stream: io.StringIO):
    configure_logging("feed", environ={"FEEDHANDLER_LOG_LEVEL": "WARNING"}, stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_the_console_format_is_for_people(stream: io.StringIO):
    configure_logging("feed", environ={"FEEDHANDLER_LOG_FORMAT": "console"}, stream=stream)
    structlog.get_logger().info("channel_live", password="554=secret")
    text = stream.getvalue()
    assert "channel_live" in text
    assert not text.startswith("{")
    assert "secret" not in text


def test_a_terminal_gets_the_console_format(stream: io.StringIO):
    stream.isatty = lambda: True
    configure_logging("feed", environ={}, stream=stream)
    structlog.get_logger().info("channel_live")
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("variable", ["FEEDHANDLER_LOG_LEVEL", "FEEDHANDLER_LOG_FORMAT"])
def test_an_unknown_choice_is_a_configuration_error(stream: io.StringIO, variable: str):
    with pytest.raises(ConfigError, match=f"{variable}: unknown value 'loud'; choose one of"):
        configure_logging("feed", environ={variable: "loud"}, stream=stream)


def test_lines_of_the_standard_library_have_the_same_shape(stream: io.StringIO):
    configure_logging("feed", environ={}, stream=stream)
    logging.getLogger("asyncio").error("task %s failed with 554=secret", "x")
    (line,) = lines(stream)
    assert line["event"] == "task x failed with 554=***"
    assert line["level"] == "error"


def test_an_exception_is_on_its_line_without_secrets(stream: io.StringIO):
    configure_logging("feed", environ={}, stream=stream)
    try:
        raise ValueError("bad message 35=A|554=secret|10=000")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(stream)
    assert "ValueError: bad message 35=A|554=***|10=000" in line["exception"]


def test_values_that_json_does_not_know_are_written_as_text(stream: io.StringIO):
    configure_logging("feed", environ={}, stream=stream)
    structlog.get_logger().info("odd", value=ConfigError("x"), loop=asyncio.Lock)
    assert lines(stream)[0]["value"] == "x"


def test_secrets_are_redacted_at_any_depth_and_in_bytes(stream: io.StringIO):
    configure_logging("feed", environ={}, stream=stream)
    message = b"8=FIX.4.4\x0135=A\x01554=secret\x0110=000\x01"
    structlog.get_logger().info("in", message=message, deep={"a": [message.decode(), 1]})
    assert "secret" not in stream.getvalue()
    assert lines(stream)[0]["deep"] == {"a": ["8=FIX.4.4|35=A|554=***|10=000|", 1]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("554=abc\x01553=user\x01", "554=***|553=user|"),
        ("553=user|554=abc|98=0", "553=user|554=***|98=0"),
        ("925=new\x01", "925=***|"),
        ("95=3\x0196=abc\x0110=1", "95=3|96=***|10=1"),
        ("95=5\x0196=a\x01b|c\x0110=1", "95=5|96=***|10=1"),
        (
            "1401=4\x011402=x\x01yz\x011403=2\x011404=\x01\x01\x0110=1",
            "1401=4|1402=***|1403=2|1404=***|10=1",
        ),
        ("95=999\x0196=abc\x0110=1", "95=999|96=***"),
        ("96=no length\x0110=1", "96=***|10=1"),
        ("1554=kept|55=A|5541=kept", "1554=kept|55=A|5541=kept"),
        ("logon 554=abc", "logon 554=***"),
        ("nothing secret", "nothing secret"),
    ],
)
def test_redaction(text: str, expected: str):
    assert redact(text) == expected


def test_redacting_twice_changes_nothing_more():
    once = redact("8=FIX.4.4\x01554=abc\x0195=2\x0196=ab\x0110=1\x01")
    assert redact(once).count("***") == 2
    assert "abc" not in once


def test_times_have_nine_digits():
    assert rfc3339_ns(1_767_323_045_000_000_007) == "2026-01-02T03:04:05.000000007Z"


class FullDisk(io.StringIO):
    """A stream that refuses every byte."""

    def write(self, _text: str, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
):
    del stream
    configure_logging("feed", environ={}, stream=FullDisk())
    structlog.get_logger().info("channel_live")
    logging.getLogger("asyncio").error("a fault")
    assert capsys.readouterr().err == ""
