"""Where a file of the repository is on the site. Pure.

Pages are written to be read in the repository too, so they link to files as they lie there. On the site the
documentation is at the top, the README of an example is a tutorial, and any other file can be downloaded.
"""

from __future__ import annotations

import posixpath
import re

DOCS = "docs/"
ELSEWHERE = {"charts/modelservice-operator/README.md": "reference/chart.md"}
"""Pages outside the folder of the documentation that are no examples, and where they are on the site."""
_EXAMPLE = re.compile(r"examples/(?:[0-9]+-)?([^/]+)/README\.md")
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?P<after>\))")
_NO_FILE = re.compile("[a-z][a-z+.-]*:|/|#")


def page_of(path: str) -> str:
    """Return where a file of the repository, named from its root, is on the site."""
    if path.startswith(DOCS):
        return path.removeprefix(DOCS)
    if path in ELSEWHERE:
        return ELSEWHERE[path]
    example = _EXAMPLE.fullmatch(path)
    return f"tutorials/{example[1]}.md" if example else f"files/{path}"


def targets(path: str, text: str) -> set[str]:
    """Return the files of the repository that a page, which lies at `path`, links to."""
    links = (match["target"] for match in _LINK.finditer(text))
    return {_resolve(path, target) for target in links if not _NO_FILE.match(target)}


def rewrite(path: str, text: str) -> str:
    """Return the page with its links as they have to be on the site."""
    here = posixpath.dirname(page_of(path))

    def moved(match: re.Match[str]) -> str:
        if _NO_FILE.match(match["target"]):
            return match[0]
        target = posixpath.relpath(page_of(_resolve(path, match["target"])), here or ".")
        return f"{match['before']}{target}{match['anchor'] or ''}{match['after']}"

    return _LINK.sub(moved, text)


def _resolve(path: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
