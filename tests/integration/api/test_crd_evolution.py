"""Whoever uses the last released API can use today's: see crds/released/README.md."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster.binaries import find_programs
from tests.integration.api.conftest import ROOT
from tests.support.crd_evolution import Crd, breaking_changes

from modelservice_operator.api import InvalidSpec, parse_model_runtime, parse_model_service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

RELEASED = ROOT / "crds" / "released"
PARSERS: Mapping[str, Callable[..., object]] = {
    "ModelService": parse_model_service,
    "ModelRuntime": parse_model_runtime,
}


def load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def last_release() -> Path:
    """The folder of the highest version."""
    folders = [folder for folder in RELEASED.iterdir() if folder.is_dir()]
    return max(folders, key=lambda folder: [int(part) for part in folder.name.split(".")])


@pytest.fixture(scope="module")
def crdify() -> Path:
    return find_programs(["crdify"])["crdify"]


@pytest.fixture(scope="module")
def today() -> Crd:
    crd: Crd = load(ROOT / "crds" / "modelservices.yaml")
    return crd


def refused_manifests() -> list[str]:
    """What today's rules say to manifests that the release took."""
    said = []
    text = (last_release() / "manifests.yaml").read_text(encoding="utf-8")
    for manifest in yaml.safe_load_all(text):
        try:
            PARSERS[manifest["kind"]](manifest, strict=True)
        except InvalidSpec as error:
            said.append(f"{manifest['kind']} {manifest['metadata']['name']}: {error}")
    return said


def test_definitions_break_nothing_of_the_last_release_but_what_is_accepted(
    crdify: Path, tmp_path: Path
) -> None:
    found = refused_manifests()
    for name in ("modelservices.yaml", "modelruntimes.yaml"):
        found += breaking_changes(crdify, tmp_path, load(last_release() / name), load(ROOT / "crds" / name))
    entries = load(RELEASED / "accepted.yaml")
    assert all(entry["because"] for entry in entries)
    assert sorted(found) == sorted(entry["change"] for entry in entries)


def spec_of(crd: Crd) -> list[Crd]:
    return [
        one["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        for one in crd["spec"]["versions"]
    ]


def in_fields(change: Callable[[Crd], object]) -> Callable[[Crd], None]:
    """A change of the spec in every version."""

    def apply(crd: Crd) -> None:
        for fields in spec_of(crd):
            change(fields)

    return apply


def in_versions(change: Callable[[Crd], object]) -> Callable[[Crd], None]:
    def apply(crd: Crd) -> None:
        for version in crd["spec"]["versions"]:
            change(version)

    return apply


BREAKING: dict[str, Callable[[Crd], object]] = {
    "field removed": in_fields(lambda spec: spec["model"]["properties"].pop("name")),
    "field removed from one version": lambda crd: spec_of(crd)[1]["model"]["properties"].pop("name"),
    "value removed": in_fields(lambda spec: spec["rollout"]["properties"]["strategy"]["enum"].pop()),
    "values limited": in_fields(lambda spec: spec["model"]["properties"]["name"].update(enum=["a"])),
    "field required": in_fields(lambda spec: spec["model"]["required"].append("sha256")),
    "shorter": in_fields(lambda spec: spec["model"]["properties"]["storageUri"].update(maxLength=100)),
    "longer at least": in_fields(lambda spec: spec["model"]["properties"]["name"].update(minLength=9)),
    "lower maximum": in_fields(lambda spec: spec["replicas"].update(maximum=5)),
    "higher minimum": in_fields(lambda spec: spec["replicas"].update(minimum=1)),
    "fewer items": in_fields(lambda spec: spec["env"].update(maxItems=1)),
    "more items at least": in_fields(lambda spec: spec["env"].update(minItems=1)),
    "fewer keys": in_fields(
        lambda spec: spec["scheduling"]["properties"]["nodeSelector"].update(maxProperties=1)
    ),
    "pattern": in_fields(lambda spec: spec["model"]["properties"]["name"].update(pattern="^a$")),
    "format": in_fields(lambda spec: spec["model"]["properties"]["name"].update(format="date")),
    "kind of list": in_fields(lambda spec: spec["env"].update({"x-kubernetes-list-type": "set"})),
    "type": in_fields(lambda spec: spec["replicas"].update(type="string")),
    "default": in_fields(lambda spec: spec["replicas"].update(default=2)),
    "default gone": in_fields(lambda spec: spec["replicas"].pop("default")),
    "version removed": lambda crd: crd["spec"]["versions"].pop(),
    "version not served": lambda crd: crd["spec"]["versions"][1].update(served=False),
    "scope": lambda crd: crd["spec"].update(scope="Cluster"),
    "group": lambda crd: crd["spec"].update(group="other.dev"),
    "kind": lambda crd: crd["spec"]["names"].update(kind="Other"),
    "short name": lambda crd: crd["spec"]["names"].update(shortNames=["ms"]),
    "no scale": in_versions(lambda version: version["subresources"].pop("scale")),
    "no status": in_versions(lambda version: version.update(subresources={})),
    "other scale": in_versions(
        lambda version: version["subresources"]["scale"].update(specReplicasPath=".spec.pods")
    ),
}
HARMLESS: dict[str, Callable[[Crd], object]] = {
    "nothing": lambda _: None,
    "field added": in_fields(
        lambda spec: spec["model"]["properties"].update(more={"type": "string", "maxLength": 9})
    ),
    "value added": in_fields(lambda spec: spec["rollout"]["properties"]["strategy"]["enum"].append("New")),
    "limits raised": in_fields(lambda spec: spec["replicas"].update(maximum=1_000_000)),
    "required no more": in_fields(lambda spec: spec["model"].pop("required")),
    "explained": in_fields(lambda spec: spec["model"].update(description="Which one.")),
    "column": in_versions(lambda version: version["additionalPrinterColumns"].pop()),
    "version added": lambda crd: crd["spec"]["versions"].insert(
        0, {**copy.deepcopy(crd["spec"]["versions"][0]), "name": "v1", "storage": False}
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_change_that_breaks_somebody_is_found(crdify: Path, today: Crd, tmp_path: Path, name: str) -> None:
    after = json.loads(json.dumps(today))
    BREAKING[name](after)
    assert breaking_changes(crdify, tmp_path, today, after)


@pytest.mark.parametrize("name", HARMLESS)
def test_change_that_breaks_nobody_is_none(crdify: Path, today: Crd, tmp_path: Path, name: str) -> None:
    after = json.loads(json.dumps(today))
    HARMLESS[name](after)
    assert breaking_changes(crdify, tmp_path, today, after) == []


def test_rule_that_refuses_what_the_release_took_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(manifest: Mapping[str, Any], *, strict: bool) -> object:
        raise InvalidSpec(())

    monkeypatch.setitem(PARSERS, "ModelRuntime", refuse)  # type: ignore[arg-type]
    assert [one.partition(" ")[0] for one in refused_manifests()].count("ModelRuntime") > 0
