"""Several processes that compile, and what becomes of what they compiled."""

import sys
from pathlib import Path

import pytest

from feedhandler.server import warmup_apart
from feedhandler.server.warmup_apart import compile_apart

CHILD = """
import os, sys
from pathlib import Path
family, shared = sys.argv[1:]
folder = Path(os.environ["NUMBA_CACHE_DIR"], shared, "kernels-now", "module")
folder.mkdir(parents=True)
for name in (family, "both"):
    (folder / f"{name}-1.py.nbi").write_text(f"index of {family}")
    for number in (1, 2):
        (folder / f"{name}-1.py.{number}.nbc").write_text(f"code of {family}")
    print("compiled", name, flush=True)
if family == "broken":
    sys.exit("the compiler gave up")
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; a family compiles two kernels, one of its own and one that all need."""
    folder = tmp_path / "feedhandler" / "kernels-now"
    words = [sys.executable, "-c", CHILD]
    monkeypatch.setattr(warmup_apart, "_command", lambda family: [*words, family, "feedhandler"])
    return folder


def kernels(cache: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((cache / "module").iterdir())}


def test_what_each_compiled_is_there_and_what_both_compiled_is_from_one(cache: Path):
    titles: list[str] = []
    compile_apart(["x", "y"], cache, 2, titles.append)
    assert sorted(titles) == ["compiled both", "compiled both", "compiled x", "compiled y"]
    assert kernels(cache) == {
        **{f"both-1.py.{number}.nbc": "code of x" for number in (1, 2)},
        "both-1.py.nbi": "index of x",
        **{f"x-1.py.{number}.nbc": "code of x" for number in (1, 2)},
        "x-1.py.nbi": "index of x",
        **{f"y-1.py.{number}.nbc": "code of y" for number in (1, 2)},
        "y-1.py.nbi": "index of y",
    }
    assert [path.name for path in cache.iterdir()] == ["module"]


def test_a_kernel_that_is_there_stays(cache: Path):
    (cache / "module").mkdir(parents=True)
    (cache / "module" / "both-1.py.nbi").write_text("index of before")
    compile_apart(["x"], cache, 1, print)
    assert kernels(cache)["both-1.py.nbi"] == "index of before"
    assert "both-1.py.1.nbc" not in kernels(cache)


def test_a_process_that_fails_takes_nothing_with_it(cache: Path):
    compile_apart(["broken", "x"], cache, 1, print)
    assert {"broken-1.py.nbi", "x-1.py.nbi"} < kernels(cache).keys()


def test_one_that_finds_nothing_to_compile_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(warmup_apart, "_command", lambda _family: [sys.executable, "-c", ""])
    compile_apart(["x"], cache, 1, print)
    assert not (cache / "apart").exists()
    assert not (cache / "module").exists()
