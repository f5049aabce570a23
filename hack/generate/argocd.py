"""Argo CD's scripts as a part of its ConfigMap, for those who do not build an Argo CD of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path("gitops/argocd")
_GROUP = "modelservice.dev"
_KINDS = FOLDER / "resource_customizations" / _GROUP
SCRIPTS = _KINDS / "ModelService"
FLEET_SCRIPTS = _KINDS / "RuntimeRollout"
_HEADER = """\
# Generated from resource_customizations/ by `make generate`. To be merged into the ConfigMap that is there:
#   kubectl patch configmap argocd-cm -n argocd --patch-file gitops/argocd/argocd-cm.yaml
"""


def argocd_config_map(root: Path) -> dict[Path, str]:
    """Return the patch of `argocd-cm` by its path from `root`."""
    data: dict[str, str] = {}
    for scripts in (SCRIPTS, FLEET_SCRIPTS):
        kind = f"{_GROUP}_{scripts.name}"
        data[f"resource.customizations.health.{kind}"] = _read(root / scripts / "health.lua")
        if actions := _actions(root / scripts):
            data[f"resource.customizations.actions.{kind}"] = _to_yaml(actions)
    return {FOLDER / "argocd-cm.yaml": _HEADER + _to_yaml({"data": data})}


def _actions(scripts: Path) -> dict[str, Any]:
    """Return the actions of a kind, {} where it has none."""
    definitions = [
        {"name": file.parent.name, "action.lua": _read(file)}
        for file in sorted(scripts.glob("actions/*/action.lua"))
    ]
    if not definitions:
        return {}
    return {"discovery.lua": _read(scripts / "actions/discovery.lua"), "definitions": definitions}


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _to_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_BlockDumper, sort_keys=False, width=110)


class _BlockDumper(yaml.SafeDumper):
    """Writes text of several lines as people do."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _represent_text)
