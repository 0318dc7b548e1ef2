"""The house rules of `tools/check`, applied to every file of the project."""

import pytest

from tools.check.import_rules import check_imports
from tools.check.kernel_rules import check_kernels
from tools.check.size_rules import check_sizes, load_exceptions
from tools.check.sources import Finding, Source, project_sources
from tools.check.text_rules import check_links, check_text


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return list(project_sources())


@pytest.fixture(scope="module")
def modules(sources: list[Source]) -> list[Source]:
    return [source for source in sources if source.is_python]


def report(findings: list[Finding]) -> str:
    return "\n".join(str(finding) for finding in sorted(findings))


def test_the_rules_see_the_whole_project(sources: list[Source]):
    paths = {source.path for source in sources}
    assert {"protocols/jit.py", "Makefile", "CONTRIBUTING.md", "tests/conftest.py"} <= paths


def test_kernels_keep_to_integers_and_preallocated_arrays(modules: list[Source]):
    assert not report([finding for source in modules for finding in check_kernels(source)])


def test_libraries_are_imported_only_where_they_belong(modules: list[Source]):
    assert not report([finding for source in modules for finding in check_imports(source)])


def test_files_and_functions_are_within_the_limits(modules: list[Source]):
    assert not report(list(check_sizes(modules, load_exceptions())))


def test_no_leftovers_package_indexes_or_machine_paths(sources: list[Source]):
    assert not report([finding for source in sources for finding in check_text(source)])


def test_every_link_between_documents_resolves(sources: list[Source]):
    documents = [source for source in sources if source.path.endswith(".md")]
    assert not report([finding for source in documents for finding in check_links(source)])
