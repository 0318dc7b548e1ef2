from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ConfigError, ExitCode
from feedhandler.server.toml_lines import line_numbers


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Line(Strict, frozen=True, forbid_unknown_fields=True):
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    address: str = "127.0.0.1"
    enabled: bool = True


class Channel(Strict, frozen=True, forbid_unknown_fields=True):
    name: str
    lines: dict[str, Line] = {}


class Feed(Strict, frozen=True, forbid_unknown_fields=True):
    line_a: Line
    line_b: Line | None = None
    topology: Literal["inline", "pipelined"] = "inline"
    store: Path = Path("store")

    def __post_init__(self) -> None:
        if self.line_b and self.line_a.port == self.line_b.port:
            raise ValueError("line_a and line_b have one port; give them two")


class Server(Strict, frozen=True, forbid_unknown_fields=True):
    feed: Feed
    channels: list[Channel] = []
    symbols: tuple[str, ...] = ()


GOOD = """\
# a comment with = and [brackets]
symbols = [
  "A",  # port = 1
  "B",
]

[feed]
topology = "inline"
store = "/var/feed"

[feed.line_a]
port = 5001

[[channels]]
name = "x"
lines.a.port = 6001
lines.b = {port = 6002}

[[channels]]
name = "y"
"""


@pytest.fixture
def load(tmp_path: Path):
    def load_text(text: str, **environ: str) -> Server:
        path = tmp_path / "server.toml"
        path.write_text(text)
        return load_config(path, Server, environ=environ)

    return load_text


@pytest.fixture
def fault(load: Callable[..., Server], tmp_path: Path):
    def fault_of(text: str, **environ: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, **environ)
        message = str(caught.value)
        assert "\n" not in message
        assert caught.value.exit_code == ExitCode.CONFIG
        return message.replace(f"{tmp_path}/", "")

    return fault_of


def test_a_good_file_becomes_the_struct(load: Callable[..., Server]):
    config = load(GOOD)
    assert config.feed == Feed(Line(5001), store=Path("/var/feed"))
    assert config.channels[0].lines == {"a": Line(6001), "b": Line(6002)}
    assert config.symbols == ("A", "B")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "port = 5001",
            "port = 5001\nadress = ''",
            "server.toml:13: [feed.line_a] unknown key 'adress', did you mean 'address'?",
        ),
        (
            "port = 5001",
            "port = 5001\nzzz = 1",
            "server.toml:13: [feed.line_a] unknown key 'zzz', known keys: port, address, enabled",
        ),
        ("port = 5001", "", "server.toml:11: [feed.line_a] missing key 'port'; add it"),
        (
            "[feed.line_a]\nport = 5001",
            "",
            "server.toml:7: [feed] missing section [feed.line_a]; add it",
        ),
        (
            "port = 5001",
            'port = "5001"',
            "server.toml:12: [feed.line_a] port: expected an integer, got text in quotes",
        ),
        (
            "port = 5001",
            "port = 0",
            "server.toml:12: [feed.line_a] port: expected an integer >= 1, not 0",
        ),
        (
            "port = 5001",
            "port = 5001\nenabled = 1",
            "server.toml:13: [feed.line_a] enabled: expected true or false, got an integer",
        ),
        (
            '"inline"',
            '"outline"',
            "server.toml:8: [feed] topology: invalid enum value 'outline'; choose one of 'inline'",
        ),
        (
            "port = 5001",
            "port = 5001\n[feed.line_b]\nport = 5001",
            "server.toml:7: feed: line_a and line_b have one port; give them two",
        ),
        (
            'name = "y"',
            'nam = "y"',
            "server.toml:20: [channels[1]] unknown key 'nam', did you mean 'name'?",
        ),
        (
            "lines.a.port",
            "lines.a.prot",
            "server.toml:16: [channels[0].lines.a] unknown key 'prot', did you mean 'port'?",
        ),
        (
            "{port = 6002}",
            "{port = 1.5}",
            "server.toml:17: [channels[0].lines.b] port: expected an integer, got a number",
        ),
        ('"B"', "7", "server.toml:2: symbols[1]: expected text in quotes, got an integer"),
        ("port = 5001", "port = ", "server.toml:12: not valid TOML: invalid value; correct this"),
        ("port = 5001", "port = 1\nport = 2", "server.toml:13: not valid TOML: cannot overwrite"),
    ],
)
def test_a_fault_is_one_line_with_place_and_remedy(
    fault: Callable[..., str], old: str, new: str, message: str
):
    assert GOOD.count(old) == 1
    assert fault(GOOD.replace(old, new)).startswith(message)


def test_an_empty_file_lacks_its_first_section(fault: Callable[..., str]):
    assert fault("") == "server.toml: missing section [feed]; add it"


def test_a_file_cut_anywhere_is_a_fault_or_a_smaller_configuration(load: Callable[..., Server]):
    complete = GOOD.index("port = 5001") + len("port = 5")
    for size in range(complete):
        with pytest.raises(ConfigError):
            load(GOOD[:size])
    assert load(GOOD[: complete + 4]).channels == []


def test_a_missing_file_says_so(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path / "none.toml", Server)


def test_a_folder_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path, Server)


def test_text_that_is_not_utf_8_names_the_line(tmp_path: Path):
    (tmp_path / "latin.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError, match=r"latin.toml:2: not UTF-8"):
        load_config(tmp_path / "latin.toml", Server)


def test_a_file_without_end_is_refused_and_not_read_whole():
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_config("/dev/zero", Server)


def test_the_environment_overrides_the_file(load: Callable[..., Server]):
    config = load(
        GOOD,
        FEEDHANDLER_FEED__LINE_A__PORT="77",
        FEEDHANDLER_FEED__LINE_A__ADDRESS="10",
        FEEDHANDLER_FEED__STORE="/other",
        FEEDHANDLER_SYMBOLS='["Z"]',
        FEEDHANDLER_FEED__LINE_B__PORT="78",
        UNRELATED__KEY="1",
    )
    assert config.feed.line_a == Line(77, address="10")
    assert config.feed.line_b == Line(78)
    assert config.feed.store == Path("/other")
    assert config.symbols == ("A", "B"), "a variable without a section is no override"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FEEDHANDLER_FEED__LINE_A__PROT", "1", "[feed.line_a] unknown key 'prot'"),
        ("FEEDHANDLER_FEED__LINE_A__PORT", "x", "[feed.line_a] port: expected an integer"),
        ("FEEDHANDLER_SYMBOLS__A", "x", "'symbols' is no section; set it as a whole"),
        ("FEEDHANDLER_NOTHING__A", "x", "unknown key 'nothing'"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(
    fault: Callable[..., str], variable: str, value: str, message: str
):
    text = fault(GOOD, **{variable: value})
    assert text.startswith(f"environment variable {variable}: ")
    assert message in text


def test_another_prefix_leaves_these_variables_alone(tmp_path: Path):
    path = tmp_path / "server.toml"
    path.write_text(GOOD)
    environ = {"FEEDHANDLER_FEED__PROT": "1", "EXCHANGE_FEED__LINE_A__PORT": "9"}
    config = load_config(path, Server, environ=environ, prefix="EXCHANGE_")
    assert config.feed.line_a.port == 9


def test_lines_are_found_behind_long_values_and_quoted_keys():
    text = 'a = """\nb = 1\n"""\n"c=d".e = [\n  [1],\n]\n[x."y.z"]\nf = 1 # g = 2\n'
    assert line_numbers(text) == {
        ("a",): 1,
        ("c=d",): 4,
        ("c=d", "e"): 4,
        ("x", "y.z"): 7,
        ("x", "y.z", "f"): 8,
    }


def test_elements_of_arrays_of_tables_are_found_by_position():
    text = "[[a]]\nb = 1\n[[a.c]]\nd = 1\n[[a.c]]\n[[a]]\n[a.e]\n"
    found = line_numbers(text)
    assert found["a", 0, "b"] == 2
    assert found["a", 0, "c", 0, "d"] == 4
    assert found["a", 0, "c", 1] == 5
    assert found["a", 1] == 6
    assert found["a", 1, "e"] == 7
