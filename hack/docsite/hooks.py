"""Hooks of mkdocs: READMEs of examples become tutorials, files that pages link to can be downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hack.docsite.links import DOCS, ELSEWHERE, page_of, rewrite, targets
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside the folder of the documentation."""
    examples = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("examples/*/README.md"))]
    pages = [DOCS + page.src_uri for page in files.documentation_pages()]
    outside = [*examples, *ELSEWHERE]
    linked = set().union(*(targets(path, _read(path)) for path in [*pages, *outside]))
    for path in outside:
        files.append(File.generated(config, page_of(path), content=rewrite(path, _read(path))))
    for path in sorted(linked - {*pages, *outside}):
        if not path.startswith(DOCS) and (ROOT / path).is_file():
            files.append(File.generated(config, page_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point links to where things are on the site."""
    is_generated = page.file.generated_by is not None
    return markdown if is_generated else rewrite(DOCS + page.file.src_uri, markdown)


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
