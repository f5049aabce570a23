"""Argo CD's scripts as a part of its ConfigMap, for those who do not build an Argo CD of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path("gitops/argocd")
SCRIPTS = FOLDER / "resource_customizations/modelservice.dev/ModelService"
_KIND = "modelservice.dev_ModelService"
_HEADER = """\
# Generated from resource_customizations/ by `make generate`. To be merged into the ConfigMap that is there:
#   kubectl patch configmap argocd-cm -n argocd --patch-file gitops/argocd/argocd-cm.yaml
"""


def argocd_config_map(root: Path) -> dict[Path, str]:
    """Return the patch of `argocd-cm` by its path from `root`."""
    scripts = root / SCRIPTS
    actions = {
        "discovery.lua": (scripts / "actions/discovery.lua").read_text(encoding="utf-8"),
        "definitions": [
            {"name": file.parent.name, "action.lua": file.read_text(encoding="utf-8")}
            for file in sorted(scripts.glob("actions/*/action.lua"))
        ],
    }
    data = {
        f"resource.customizations.health.{_KIND}": (scripts / "health.lua").read_text(encoding="utf-8"),
        f"resource.customizations.actions.{_KIND}": _to_yaml(actions),
    }
    return {FOLDER / "argocd-cm.yaml": _HEADER + _to_yaml({"data": data})}


def _to_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_BlockDumper, sort_keys=False, width=110)


class _BlockDumper(yaml.SafeDumper):
    """Writes text of several lines as people do."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _represent_text)
