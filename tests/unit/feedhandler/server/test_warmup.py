"""Compiling once: the mark, the lock, and what becomes of older caches."""

import fcntl
import os
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from feedhandler.server import warmup
from feedhandler.server.warmup import WARMUP_GROUP, compiling_alone, is_warm, warm_up


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a source that was never compiled."""
    folder = tmp_path / "feedhandler" / "kernels-now"
    monkeypatch.setattr(warmup, "CACHE_DIRECTORY", folder)
    monkeypatch.setattr(warmup, "JIT_ENABLED", True)
    return folder


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of the steps that ran."""
    done: list[str] = []
    steps = [(title, lambda title=title: done.append(title)) for title in ("one", "two")]
    monkeypatch.setattr(warmup, "_find_families", lambda: {"all": steps})
    return done


def test_every_step_runs_once_and_never_again(
    cache: Path, compiled: list[str], capsys: pytest.CaptureFixture[str]
):
    assert not is_warm()
    warm_up()
    assert compiled == ["one", "two"]
    assert is_warm()
    said = capsys.readouterr().err
    assert "compiling kernels" in said
    assert str(cache) in said
    warm_up()
    assert compiled == ["one", "two"]
    assert capsys.readouterr().err == ""


def test_a_step_that_fails_leaves_no_mark(
    cache: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
):
    def fail() -> None:
        raise RuntimeError("the compiler gave up")

    monkeypatch.setattr(warmup, "_find_families", lambda: {"all": [("bad", fail)]})
    with pytest.raises(RuntimeError, match="gave up"):
        warm_up()
    assert not is_warm()
    assert cache.exists()
    assert compiled == []


def test_a_second_process_waits_for_the_first_one_and_finds_all_done(
    cache: Path, compiled: list[str]
):
    cache.mkdir(parents=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=warm_up)
        second.start()
        second.join(0.2)
        assert second.is_alive()
        (cache / "complete").touch()
    second.join(5)
    assert not second.is_alive()
    assert compiled == []


@pytest.mark.usefixtures("compiled")
def test_only_the_newest_caches_are_kept(cache: Path):
    for age, name in enumerate(("kernels-a", "kernels-b", "kernels-c", "kernels-d"), 1):
        old = cache.parent / name
        old.mkdir(parents=True)
        (old / "complete").touch()
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    (cache.parent / "other").mkdir()
    (cache.parent / "kernels-file").write_text("no folder")
    warm_up()
    left = {path.name for path in cache.parent.iterdir()}
    assert left == {"kernels-now", "kernels-a", "kernels-b", "other", "kernels-file"}


@pytest.mark.usefixtures("cache")
def test_without_the_compiler_everything_is_warm(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(warmup, "JIT_ENABLED", False)
    assert is_warm()
    warm_up()
    assert compiled == []


def test_each_package_offers_titled_steps():
    points = entry_points(group=WARMUP_GROUP)
    assert {point.name for point in points} >= {"engine", "engine-replay", "exchange", "formats"}
    families = warmup._find_families()
    titles = [title for steps in families.values() for title, _step in steps]
    assert len(set(titles)) == len(titles)
    engine = {title for title, _step in families["engine"]}
    assert {"inline loop", "receiver", "worker", "replay of files"} <= engine
    assert "exchange" in families


def test_families_are_compiled_apart_and_then_read_by_the_process_itself(
    cache: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
):
    steps = warmup._find_families()["all"]
    monkeypatch.setattr(warmup, "_find_families", lambda: {"a": steps[:1], "b": steps[1:]})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    asked: list[tuple[list[str], Path, int]] = []

    def compile_apart(
        families: list[str], into: Path, at_once: int, on_step: Callable[[str], None]
    ) -> None:
        asked.append((families, into, at_once))
        assert compiled == []
        on_step("one")

    monkeypatch.setattr(warmup, "compile_apart", compile_apart)
    warm_up()
    assert asked == [(["a", "b"], cache, 3)]
    assert compiled == ["one", "two"]


def test_a_family_says_each_of_its_steps(compiled: list[str], capsys: pytest.CaptureFixture[str]):
    warmup.run_family("all")
    assert compiled == ["one", "two"]
    assert capsys.readouterr().out == "one\ntwo\n"


def test_who_compiles_alone_keeps_every_other_process_out(cache: Path):
    with compiling_alone(), (cache / "lock").open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (cache / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_nothing_is_locked_where_nothing_is_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warmup, "JIT_ENABLED", False)
    with compiling_alone():
        assert not cache.exists()
