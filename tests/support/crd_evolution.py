"""What of a definition's change breaks those who use it: by crdify, and by what that does not look at."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Crd = dict[str, Any]
# An explanation may change, and a value may be added.
CONFIG = {
    "validations": [
        {"name": "description", "enforcement": "None"},
        {"name": "enum", "enforcement": "Error", "configuration": {"additionPolicy": "Allow"}},
    ],
    "unhandledEnforcement": "Error",
}


def breaking_changes(crdify: Path, folder: Path, before: Crd, after: Crd) -> list[str]:
    """Every change that breaks somebody, as a sentence; `folder` is for files."""
    return [*_by_crdify(crdify, folder, before, after), *_of_surroundings(before["spec"], after["spec"])]


def _by_crdify(crdify: Path, folder: Path, before: Crd, after: Crd) -> Iterator[str]:
    # Of CEL rules crdify says only that they changed: the manifests of the release are held against those.
    contents = {"config": CONFIG, "before": _without_rules(before), "after": _without_rules(after)}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    places = [f"file://{folder}/{name}.json" for name in ("before", "after")]
    command = [str(crdify), "--config", str(folder / "config.json"), "--output", "json", *places]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    said = json.loads(result.stdout or "{}")
    assert result.returncode == (1 if said else 0), result.stderr
    for finding in said.get("crdValidation") or ():
        yield from finding.get("errors") or ()
    for version in said.get("sameVersionValidation") or ():
        for compared in version["propertyComparisons"]:
            for finding in compared["comparisonResults"]:
                for error in finding.get("errors") or ():
                    yield f"{version['version']} {compared['property']}: {error}"


def _without_rules(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: _without_rules(value) for key, value in part.items() if key != "x-kubernetes-validations"
        }
    return [_without_rules(one) for one in part] if isinstance(part, list) else part


def _of_surroundings(before: Crd, after: Crd) -> Iterator[str]:
    for field in ("group", "scope"):
        if before[field] != after[field]:
            yield f"{field} changed: {before[field]} -> {after[field]}"
    yield from _of_names(before["names"], after["names"])
    yield from _of_versions(before["versions"], {one["name"]: one for one in after["versions"]})


def _of_names(before: Crd, after: Crd) -> Iterator[str]:
    for field, name in before.items():
        if isinstance(name, str) and after.get(field) != name:
            yield f"names.{field} changed: {name} -> {after.get(field)}"
        elif isinstance(name, list) and (missing := set(name) - set(after.get(field, ()))):
            yield f"names.{field} lacks {', '.join(sorted(missing))}"


def _of_versions(before: list[Crd], after: dict[str, Crd]) -> Iterator[str]:
    for version in before:
        name = version["name"]
        if version["served"] and not after.get(name, {}).get("served"):
            yield f"{name} is not served any more"
        elif version.get("subresources") != after[name].get("subresources"):
            yield f"{name}: subresources changed"
