"""The README of the chart, made by helm-docs from the comments in values.yaml and a template of our own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from hack.cluster.binaries import find_family
from hack.cluster.families import FAMILIES
from hack.generate.manifests import CHART

if TYPE_CHECKING:
    from pathlib import Path


def chart_readme(root: Path) -> dict[Path, str]:
    """Return the README by its path from `root`; building helm-docs takes half a minute, once."""
    program = find_family(FAMILIES["helm-docs"])["helm-docs"]
    options = ("--dry-run", "--sort-values-order", "file", "--log-level", "warning")
    command = (str(program), "--chart-search-root", str(root / CHART), *options)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0 or not result.stdout.strip():
        raise RuntimeError(f"helm-docs: {result.stderr.strip()}")
    return {CHART / "README.md": result.stdout.strip() + "\n"}
