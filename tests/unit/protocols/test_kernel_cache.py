"""Where compiled kernels are kept."""

from pathlib import Path

import pytest

from protocols import kernel_cache


def test_each_copy_of_the_source_has_a_cache_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = []
    for name in ("one", "two"):
        (tmp_path / name / "protocols").mkdir(parents=True)
        (tmp_path / name / "protocols" / "wire.py").write_text("same")
        monkeypatch.setattr(kernel_cache, "_ROOT", tmp_path / name)
        found += [kernel_cache._source_digest(), kernel_cache._source_digest()]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[0] != found[2]


def test_the_cache_lies_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    assert kernel_cache._cache_directory().parent == tmp_path / "kept" / "feedhandler"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert kernel_cache._cache_directory().parent == tmp_path / "user" / "feedhandler"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel_cache._cache_directory().parent == tmp_path / ".cache" / "feedhandler"


def test_the_cache_is_made_or_its_absence_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(kernel_cache, "JIT_ENABLED", False)
    kernel_cache.make_cache_directory(tmp_path / "kept" / "here")
    assert not (tmp_path / "kept").exists()
    monkeypatch.setattr(kernel_cache, "JIT_ENABLED", True)
    kernel_cache.make_cache_directory(tmp_path / "kept" / "here")
    assert (tmp_path / "kept" / "here").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as caught:
        kernel_cache.make_cache_directory(tmp_path / "file" / "here")
    assert caught.value.code == 73
    assert capsys.readouterr().err.count("\n") == 1
