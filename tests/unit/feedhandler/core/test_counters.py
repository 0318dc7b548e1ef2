import os
import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest

from feedhandler.core.counters import (
    HEADER_WORDS,
    CounterFile,
    CounterFileError,
    CounterSpec,
    Header,
    HistogramSpec,
    default_counter_path,
)
from feedhandler.core.latency import COUNT, HISTOGRAM_WORDS, MAX, SUM
from feedhandler.core.recording import add_nb, record_nb

COUNTERS = (
    CounterSpec("packets_received", "", "Packets.", labels=(("channel", "1"), ("line", "a"))),
    CounterSpec("packets_received", "", "Packets.", labels=(("channel", "1"), ("line", "b"))),
    CounterSpec("channel_state", "", "State.", "gauge"),
)
HISTOGRAMS = (HistogramSpec("latency", "ns", "Latency."), HistogramSpec("hiccup", "ns", "Noise."))


@pytest.fixture
def counter_file(tmp_path: Path):
    path = tmp_path / "counters"
    return CounterFile.create(path, COUNTERS, HISTOGRAMS, start_time_ns=123)


def test_a_reader_sees_what_the_owner_writes_afterwards(counter_file: CounterFile):
    reader = CounterFile.open(counter_file.path)
    add_nb(counter_file.values, counter_file.row("packets_received", channel="1", line="b"), 5)
    add_nb(counter_file.values, counter_file.row("packets_received", line="b", channel="1"), 2)
    counter_file.values[counter_file.row("channel_state"), 0] = 4
    record_nb(counter_file.histogram("hiccup"), 77)
    assert reader.value("packets_received", channel="1", line="b") == 7
    assert reader.value("packets_received", channel="1", line="a") == 0
    assert reader.value("channel_state") == 4
    assert reader.histogram("hiccup")[COUNT] == 1
    assert reader.histogram("latency")[COUNT] == 0


def test_the_reader_learns_names_and_owner(counter_file: CounterFile):
    reader = CounterFile.open(str(counter_file.path))
    assert reader.counter_specs == COUNTERS
    assert reader.histogram_specs == HISTOGRAMS
    assert (reader.pid, reader.start_time_ns) == (os.getpid(), 123)


def test_a_reader_cannot_write(counter_file: CounterFile):
    reader = CounterFile.open(counter_file.path)
    with pytest.raises(ValueError, match="read-only"):
        reader.values[0, 0] = 1


def test_every_counter_has_a_cache_line_of_its_own(counter_file: CounterFile):
    assert counter_file.values.shape == (3, 8)
    assert counter_file.values.strides == (64, 8)
    assert counter_file.values.ctypes.data % 64 == 0
    assert counter_file.histograms.shape == (2, HISTOGRAM_WORDS)
    assert counter_file.histograms.ctypes.data % 64 == 0


def test_the_file_is_private_and_leaves_no_temporary_behind(counter_file: CounterFile):
    assert stat.S_IMODE(counter_file.path.stat().st_mode) == 0o600
    assert [path.name for path in counter_file.path.parent.iterdir()] == ["counters"]


def test_a_new_file_replaces_the_old_one_whose_readers_keep_it(counter_file: CounterFile):
    add_nb(counter_file.values, 0, 9)
    old_reader = CounterFile.open(counter_file.path)
    CounterFile.create(counter_file.path, COUNTERS, HISTOGRAMS)
    assert old_reader.values[0, 0] == 9
    assert CounterFile.open(counter_file.path).values[0, 0] == 0


def test_a_file_may_have_no_rows_at_all(tmp_path: Path):
    CounterFile.create(tmp_path / "empty", (), ())
    reader = CounterFile.open(tmp_path / "empty")
    assert (len(reader.values), len(reader.histograms)) == (0, 0)


def test_asking_for_an_unknown_row_names_it(counter_file: CounterFile):
    with pytest.raises(KeyError, match=r"packets_received\(line='c'\)"):
        counter_file.row("packets_received", line="c")


def test_opening_a_missing_file_says_so(tmp_path: Path):
    with pytest.raises(CounterFileError, match="no such counter file"):
        CounterFile.open(tmp_path / "nothing")


def test_opening_a_folder_says_so(tmp_path: Path):
    with pytest.raises(CounterFileError, match="directory"):
        CounterFile.open(tmp_path)


def test_every_truncation_is_noticed(counter_file: CounterFile, tmp_path: Path):
    whole = counter_file.path.read_bytes()
    cut = tmp_path / "cut"
    for size_bytes in (0, 1, 127, 128, 129, 300, len(whole) - 2000, len(whole) - 1):
        cut.write_bytes(whole[:size_bytes])
        with pytest.raises(CounterFileError, match="short"):
            CounterFile.open(cut)


def test_trailing_bytes_are_noticed(counter_file: CounterFile, tmp_path: Path):
    (tmp_path / "long").write_bytes(counter_file.path.read_bytes() + b"x")
    with pytest.raises(CounterFileError, match="damaged"):
        CounterFile.open(tmp_path / "long")


def damaged(counter_file: CounterFile, word: int, value: int):
    raw = bytearray(counter_file.path.read_bytes())
    np.frombuffer(raw, np.int64, HEADER_WORDS)[word] = value
    path = counter_file.path.with_name("damaged")
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("word", "value", "text"),
    [
        (Header.MAGIC, 0, "not a counter file"),
        (Header.VERSION, 99, "layout version 99"),
        (Header.HISTOGRAM_WORDS, 5, "layout version"),
        (Header.COUNTER_COUNT, -1, "damaged header"),
        (Header.HISTOGRAM_COUNT, 1 << 40, "damaged header"),
        (Header.COUNTER_COUNT, 2, "damaged or cut short"),
        (Header.METADATA_SIZE_BYTES, -1, "damaged header"),
        (Header.FILE_SIZE_BYTES, 1, "damaged or cut short"),
        (Header.PARTS, 0, "damaged header"),
        (Header.PARTS, 1 << 40, "damaged header"),
        (Header.PARTS, 2, "damaged or cut short"),
    ],
)
def test_a_damaged_header_is_named(counter_file: CounterFile, word: int, value: int, text: str):
    with pytest.raises(CounterFileError, match=text):
        CounterFile.open(damaged(counter_file, word, value))


def test_damaged_metadata_is_named(counter_file: CounterFile):
    raw = counter_file.path.read_bytes()
    path = counter_file.path.with_name("damaged")
    path.write_bytes(raw[:-1] + b"{")
    with pytest.raises(CounterFileError, match="damaged metadata"):
        CounterFile.open(path)


def test_metadata_for_other_rows_than_the_header_counts_is_named(counter_file: CounterFile):
    raw = counter_file.path.read_bytes()
    text = raw[raw.index(b'{"counters"') :]
    table = msgspec.json.decode(text)
    del table["histograms"][1]
    other = msgspec.json.encode(table)
    path = counter_file.path.with_name("damaged")
    path.write_bytes(raw[: -len(text)] + other + b" " * (len(text) - len(other)))
    with pytest.raises(CounterFileError, match="describes"):
        CounterFile.open(path)


def test_a_file_that_cannot_be_made_is_an_error_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "counters").mkdir()
    with pytest.raises(CounterFileError, match="cannot make"):
        CounterFile.create(tmp_path / "counters", COUNTERS)
    assert [path.name for path in tmp_path.iterdir()] == ["counters"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CounterFileError, match="cannot make"):
        CounterFile.create(tmp_path / "file" / "counters", COUNTERS)


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        ([CounterSpec("Bad-Name", "", "")], "lower_case_name"),
        ([CounterSpec("good", "", "", labels=(("Bad", "x"),))], "lower_case_name"),
        ([CounterSpec("twice", "", "")] * 2, "given twice"),
        ([CounterSpec("a", "", "", labels=(("k", "1"), ("k", "2")))], "one set of label keys"),
        ([CounterSpec("a", "", ""), CounterSpec("a", "", "", "gauge")], "one kind"),
        ([CounterSpec("a", "", ""), CounterSpec("a", "ns", "", labels=())], "one unit"),
    ],
)
def test_specs_that_contradict_each_other_are_refused(
    tmp_path: Path, specs: list[CounterSpec], text: str
):
    with pytest.raises(ValueError, match=text):
        CounterFile.create(tmp_path / "counters", specs)


def test_a_counter_and_a_histogram_cannot_share_a_name(tmp_path: Path):
    with pytest.raises(ValueError, match="one kind"):
        CounterFile.create(
            tmp_path / "c", [CounterSpec("a", "ns", "")], [HistogramSpec("a", "ns", "")]
        )


def test_the_default_path_belongs_to_this_user():
    assert str(os.getuid()) in default_counter_path().parent.name


def test_the_default_path_falls_back_to_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("feedhandler.core.counters.Path.is_dir", lambda _: False)
    monkeypatch.setattr("feedhandler.core.counters.tempfile.gettempdir", lambda: str(tmp_path))
    assert default_counter_path().is_relative_to(tmp_path)


ACROSS = (
    CounterSpec("messages", "", "Summed."),
    CounterSpec("suspect", "", "The most.", "gauge", across="most"),
    CounterSpec("next_seq", "", "The least, of those that have one.", "gauge", across="least"),
)


@pytest.mark.parametrize(
    ("values", "together"),
    [
        ([(0, 0, 0)] * 3, [0, 0, 0]),
        ([(1, 0, 0), (20, 1, 9), (300, 0, 7)], [321, 1, 7]),
        ([(5, 1, 4), (5, 1, 4), (5, 1, 4)], [15, 1, 4]),
    ],
)
def test_readers_see_several_parts_as_one(
    tmp_path: Path, values: list[tuple[int, int, int]], together: list[int]
):
    made = CounterFile.create(tmp_path / "parts", ACROSS, HISTOGRAMS, parts=3)
    for place, (part, row) in enumerate(zip(made.parts, values, strict=True)):
        part.values[:, 0] = row
        record_nb(part.histograms[0], 10 * (place + 1))
    reader = CounterFile.open(tmp_path / "parts")
    assert [reader.value(spec.name) for spec in ACROSS] == together
    assert reader.totals().tolist() == together
    for found in (reader.histogram("latency"), reader.histogram_totals()[0]):
        assert (found[COUNT], found[SUM], found[MAX]) == (3, 60, 30)
    assert not reader.histogram("hiccup").any()


def test_each_part_has_rows_of_its_own_and_the_first_is_the_process(tmp_path: Path):
    made = CounterFile.create(tmp_path / "parts", COUNTERS, HISTOGRAMS, parts=2)
    made.values[2, 0] = 7
    made.parts[1].values[2, 0] = 3
    assert made.parts[0].values[2, 0] == 7
    assert made.value("channel_state") == 10
    assert [part.values.shape for part in made.parts] == [(3, 8)] * 2
    assert [part.histograms.shape for part in made.parts] == [(2, HISTOGRAM_WORDS)] * 2


def test_rows_that_mean_something_else_later_are_found_by_their_new_names(tmp_path: Path):
    def named(name: str) -> list[CounterSpec]:
        return [CounterSpec("signals", "", "Signals", labels=(("pattern", name),))]

    path = tmp_path / "counters"
    owner = CounterFile.create(path, named("old"), room_bytes=20)
    owner.values[0, 0] = 7
    assert owner.describe(named("another"), ())
    assert owner.value("signals", pattern="another") == 7
    assert CounterFile.open(path).value("signals", pattern="another") == 7
    assert not owner.describe(named("n" * 60), ()), "the file has no room for so much"
    assert owner.value("signals", pattern="n" * 60) == 7
    assert CounterFile.open(path).value("signals", pattern="another") == 7
    assert owner.describe(named("x"), ())
    assert CounterFile.open(path).value("signals", pattern="x") == 7
