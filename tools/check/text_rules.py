"""Rules for every text file: no leftovers, no place that only one machine has, no dead link."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from tools.check.sources import ROOT, Finding, Source

# A letter in brackets keeps a pattern from finding itself in this file.
_INDEX = r"p[y]pi[.]org|pyt[h]onhosted[.]org|n[p]mjs[.](?:org|com)|cr[a]tes[.]io|an[a]conda[.]org"
_PATTERNS = (
    (re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b"), "a leftover: do it or drop it"),
    (
        re.compile(rf"{_INDEX}|pr[o]xy[.]golang[.]org|--(?:extra-)?index-[u]rl"),
        "names a package index: leave the choice to the machine",
    ),
    (
        re.compile(r"(?<![\w.~$}/*-])/(?:h[o]me|r[o]ot|w[o]rk|U[s]ers)/\w"),
        "a path of one machine",
    ),
)
_FENCE = re.compile(r"^(```|~~~)")
_LINK = re.compile(r"!?\[[^\]\[]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")


def check_text(source: Source) -> Iterator[Finding]:
    """Leftovers, package indexes and machine paths in one file, by line."""
    for number, line in enumerate(source.text.splitlines(), 1):
        for pattern, message in _PATTERNS:
            match = pattern.search(line)
            if match:
                yield Finding(source.path, number, f"{match.group()!r}: {message}")


def check_links(source: Source, root: Path = ROOT) -> Iterator[Finding]:
    """Relative links of a Markdown file whose file or heading does not exist."""
    for number, line in _prose(source.text):
        for target in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if _SCHEME.match(target):
                continue
            name, _, anchor = unquote(target).partition("#")
            path = (root / source.path).parent / name if name else root / source.path
            if not path.exists():
                yield Finding(source.path, number, f"link {target}: there is no {name}")
            elif anchor and path.suffix == ".md" and anchor not in _anchors(path):
                yield Finding(source.path, number, f"link {target}: no heading makes #{anchor}")


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without fenced code."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line.strip()):
            fenced = not fenced
        elif not fenced:
            yield number, line


def _anchors(path: Path) -> set[str]:
    """Anchors that the headings of a Markdown file make."""
    headings = (_HEADING.match(line) for _, line in _prose(path.read_text(encoding="utf-8")))
    return {
        re.sub(r"[^\w\- ]", "", heading.group(1).lower()).strip().replace(" ", "-")
        for heading in headings
        if heading
    }
