"""Each house rule on a sample that breaks it, and on its neighbour that does not."""

import subprocess
from pathlib import Path

import pytest

from tools.check.import_rules import check_imports
from tools.check.kernel_rules import check_kernels
from tools.check.size_rules import check_sizes, load_exceptions
from tools.check.sources import Source, project_sources
from tools.check.text_rules import check_links, check_text


def kernel(body: str, *, name: str = "sum_nb", arguments: str = "rows, count") -> Source:
    return Source("feedhandler/core/sample.py", f"@kernel\ndef {name}({arguments}):\n    {body}\n")


def test_a_plain_kernel_passes():
    body = "total = np.int64(0)\n    for i in range(count):\n        total += rows[i]\n"
    assert list(check_kernels(kernel(body + "    return total"))) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError(count)", "raise"),
        ("assert count", "assert"),
        ("print(count)", "print()"),
        ("return f'{count}'", "f-string"),
        ("return float(count)", "float()"),
        ("return time.time_ns()", "time.time_ns"),
        ("return [count]", "a list"),
        ("return sum(row for row in rows)", "a generator"),
        ("out = np.zeros(count)\n    return out", "np.zeros()"),
        ("try:\n        return 1\n    finally:\n        pass", "try"),
        ("if count:\n        for i in rows:\n            logging.info(i)", "logging.info"),
    ],
)
def test_a_kernel_with_a_forbidden_statement_is_found(body: str, reason: str):
    (finding, *_) = check_kernels(kernel(body))
    assert reason in finding.message
    assert finding.line >= 3


@pytest.mark.parametrize("decorator", ["kernel", "outline_kernel"])
def test_a_kernel_without_the_suffix_is_found(decorator: str):
    source = Source("protocols/sample.py", f"@{decorator}\ndef total(rows):\n    return rows[0]\n")
    assert ["ends in _nb" in finding.message for finding in check_kernels(source)] == [True]


def test_a_kernel_with_nine_arguments_is_found():
    nine = kernel("return a", arguments="a, b, c, d, e, f, g, h, i")
    assert ["9 arguments" in finding.message for finding in check_kernels(nine)] == [True]
    assert list(check_kernels(kernel("return a", arguments="a, b, c, d, e, f, g, h"))) == []


def test_a_kernel_with_star_arguments_is_found():
    assert list(check_kernels(kernel("return 0", arguments="*rows")))


def test_an_ordinary_function_may_do_all_that():
    source = Source(
        "feedhandler/core/sample.py", "def f(a):\n    raise ValueError(f'{float(a)}')\n"
    )
    assert list(check_kernels(source)) == []


@pytest.mark.parametrize(
    "text",
    [
        "from numba import njit\n",
        "import numba\nf = numba.njit(len)\n",
        "from numba import cfunc\n",
    ],
)
def test_compiling_past_the_kernel_decorator_is_found(text: str):
    assert list(check_kernels(Source("feedhandler/core/sample.py", text)))
    assert list(check_kernels(Source("protocols/jit.py", text))) == []
    assert list(check_kernels(Source("tests/unit/sample.py", text))) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("feedhandler/server/app.py", "import pytest\n"),
        ("tools/demo/command.py", "from tests.reference.slow_book import SlowBook\n"),
        ("protocols/fix/kernels.py", "import simplefix\n"),
        ("feedhandler/core/ring.py", "def f():\n    from structlog import get_logger\n"),
    ],
)
def test_a_library_in_the_wrong_place_is_found(path: str, text: str):
    assert list(check_imports(Source(path, text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tests/unit/sample.py", "import pytest\n"),
        ("oms_out/publisher.py", "import simplefix\n"),
        ("protocols/wire.py", "import numpy as np\nfrom . import errors\n"),
    ],
)
def test_a_library_in_its_place_passes(path: str, text: str):
    assert list(check_imports(Source(path, text))) == []


def function_of(lines: int) -> str:
    return "def long():\n" + "    x = 1\n" * (lines - 1)


def test_a_function_over_the_limit_is_found_and_one_at_the_limit_passes():
    assert list(check_sizes([Source("a.py", function_of(71))], {}))
    assert list(check_sizes([Source("a.py", function_of(70))], {})) == []


def test_a_file_over_the_limit_is_found_and_one_at_the_limit_passes():
    assert list(check_sizes([Source("a.py", "x = 1\n" * 701)], {}))
    assert list(check_sizes([Source("a.py", "x = 1\n" * 700)], {})) == []


def test_an_exception_covers_its_function_and_is_found_once_nothing_needs_it():
    exceptions = {"a.py::long": "a table that reads best in one piece"}
    assert list(check_sizes([Source("a.py", function_of(71))], exceptions)) == []
    assert list(check_sizes([Source("a.py", function_of(10))], exceptions))


def test_an_exception_without_a_reason_is_refused(tmp_path: Path):
    path = tmp_path / "exceptions.toml"
    path.write_text('[sizes]\n"a.py" = " "\n')
    with pytest.raises(ValueError, match=r"a\.py has no reason"):
        load_exceptions(path)


# The samples are put together here, so that this file passes the rules that it tests.
@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # TO" + "DO later",
        "# FIX" + "ME",
        "see https://py" + "pi.org/project/numba",
        "pip install --index" + "-url https://example.com/simple",
        "cd /wo" + "rk/main",
        "open('/ro" + "ot/data.bin')",
        "/ho" + "me/somebody/feed.pcap",
    ],
)
def test_a_line_that_should_not_be_there_is_found(line: str):
    (finding,) = check_text(Source("docs/sample.md", f"first\n{line}\n"))
    assert finding.line == 2


@pytest.mark.parametrize(
    "line",
    [
        "the method of a todo list",
        "curl http://127.0.0.1:9464/metrics",
        "uv pip compile --no-emit-index" + "-url",
        "https://example.com/wo" + "rk/list",
        "tests/wo" + "rk/x",
    ],
)
def test_a_harmless_line_passes(line: str):
    assert list(check_text(Source("docs/sample.md", f"{line}\n"))) == []


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Gap, then recovery\n```\n# no heading\n```\n")
    return tmp_path


@pytest.mark.parametrize(
    "target",
    ["other.md", "other.md#gap-then-recovery", "../docs", "https://example.com/missing", "#here"],
)
def test_a_link_that_resolves_passes(documents: Path, target: str):
    text = f"# Here\n[text]({target})\n"
    (documents / "docs" / "page.md").write_text(text)
    assert list(check_links(Source("docs/page.md", text), documents)) == []


@pytest.mark.parametrize("target", ["missing.md", "other.md#no-heading", "#nowhere", "../missing/"])
def test_a_link_to_nothing_is_found(documents: Path, target: str):
    text = f"# Here\n[text]({target})\n"
    (documents / "docs" / "page.md").write_text(text)
    assert [finding.line for finding in check_links(Source("docs/page.md", text), documents)] == [2]


def test_a_link_inside_code_is_no_link(documents: Path):
    text = "```\n[text](missing.md)\n```\nand `[text](missing.md)`\n"
    assert list(check_links(Source("docs/page.md", text), documents)) == []


def test_sources_are_what_git_would_track(tmp_path: Path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "ignored.py").write_text("")
    (tmp_path / "new.py").write_text("x = 1\n")
    (tmp_path / "picture.bin").write_bytes(b"\xff\xfe\x00\x80")
    assert [source.path for source in project_sources(tmp_path)] == [".gitignore", "new.py"]
