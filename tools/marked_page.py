"""Pages that are written by hand but for the parts between two markers, which a tool writes.

<!-- begin NAME -->
written by the tool
<!-- end NAME -->
"""

from collections.abc import Mapping


def fill_in_parts(page: str, parts: Mapping[str, str], page_name: str) -> str:
    """`page` with what stands between the markers of each part written anew; ValueError without a
    marker.
    """
    for name, text in parts.items():
        opening, closing = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, found, rest = page.partition(opening)
        _old, found_end, after = rest.partition(closing)
        if not found or not found_end:
            raise ValueError(f"{page_name}: no marker {opening.strip()} or {closing}")
        page = f"{before}{opening}\n{text}\n{closing}{after}"
    return page
