"""Every link of every page in the repository leads to a file that is there.

`make docs-check` looks at the site; this also looks at what is read in the repository alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hack.docsite.links import targets

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", "charts/**/*.md", "gitops/**/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_page_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [target for target in sorted(targets(page, text)) if not (ROOT / target).exists()] == []
