"""The install manifests and the goldens of tests, rendered by helm from the chart: users need kubectl only.

`crds.yaml` holds the definitions alone, because the default ModelRuntime in `install.yaml` can be applied
only after they are established.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from hack.cluster.binaries import find_family
from hack.cluster.families import FAMILIES

CHART = Path("charts/modelservice-operator")
FOLDER = Path("manifests")
RELEASE = "modelservice-operator"
NAMESPACE = "modelservice-system"

# For kubectl the definitions are there already, so the default ModelRuntime is an ordinary object.
_API_VERSION = "modelservice.dev/v1alpha1/ModelRuntime"
_HEADER = "# Rendered from charts/modelservice-operator by `make generate`; do not edit.\n"
_ARGUMENTS = {
    "crds.yaml": ("--show-only", "templates/crds.yaml"),
    "install.yaml": ("--skip-tests", "--set", "crds.install=false", "--set", "namespace.create=true"),
}
_GOLDEN = Path("tests/unit/manifests/golden")


def rendered_manifests(root: Path) -> dict[Path, str]:
    """Render the chart below `root` and return each manifest by its path from there.

    The chart's copies of the definitions must have been written. Building helm takes minutes, once.
    """
    helm = find_family(FAMILIES["helm"])["helm"]
    return {
        FOLDER / name: _HEADER + _render(helm, root / CHART, arguments)
        for name, arguments in _ARGUMENTS.items()
    }


def golden_renders(root: Path) -> dict[Path, str]:
    """Render the chart below `root` with each set of values that tests look at, whatever hooks it has."""
    helm = find_family(FAMILIES["helm"])["helm"]
    return {
        values.with_name("objects.yaml").relative_to(root): _HEADER
        + _render(helm, root / CHART, ("--values", str(values)))
        for values in sorted((root / _GOLDEN).glob("*/values.yaml"))
    }


def _render(helm: Path, chart: Path, arguments: tuple[str, ...]) -> str:
    options = ("--namespace", NAMESPACE, "--api-versions", _API_VERSION, *arguments)
    command = (str(helm), "template", RELEASE, str(chart), *options)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"helm cannot render {chart}: {result.stderr.strip()}")
    return str(result.stdout)
