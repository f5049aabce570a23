"""The code by which Flux evaluates `healthCheckExprs` says of every state what our conditions say."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster.binaries import go_environment
from hack.cluster.paths import GO_MODULES
from tests.support.operator_process import ROOT
from tests.unit.gitops.fleet_states import FLEET_STATES, runtime_rollout
from tests.unit.gitops.states import STATES, model_service

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = {
    "ModelService": {f"ModelService/{name}": model_service(name) for name in STATES},
    "RuntimeRollout": {f"RuntimeRollout/{name}": runtime_rollout(name) for name in FLEET_STATES},
}
"""Every state that the operator makes, by kind."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What Flux says of each state, by the expressions that we ship."""
    program = tmp_path_factory.mktemp("flux") / "health"
    build = ["go", "build", "-o", str(program), "./health"]
    subprocess.run(build, cwd=GO_MODULES / "kustomize-controller", env=go_environment(), check=True)
    _, kustomization = yaml.safe_load_all((ROOT / "gitops/flux/models.yaml").read_text(encoding="utf-8"))
    expressions = {one["kind"]: one for one in kustomization["spec"]["healthCheckExprs"]}
    return {
        place: line
        for kind, objects in OBJECTS.items()
        for place, line in ask(program, expressions[kind], objects).items()
    }


def ask(program: Path, expressions: dict[str, Any], objects: dict[str, Any]) -> dict[str, str]:
    lines = "".join(json.dumps(one) + "\n" for one in objects.values())
    command = [program, json.dumps(expressions)]
    answer = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return dict(zip(objects, answer.stdout.splitlines(), strict=True))


def expected(found: dict[str, Any]) -> str:
    if found["status"]["observedGeneration"] != found["metadata"]["generation"]:
        return "InProgress"
    holds = {one["type"]: one["status"] == "True" for one in found["status"]["conditions"]}
    return "Current" if holds["Ready"] else "Failed" if holds["Stalled"] else "InProgress"


def test_flux_says_what_the_conditions_say(said: dict[str, str]) -> None:
    seen = {name: one for objects in OBJECTS.values() for name, one in objects.items() if "status" in one}
    assert {name: said[name] for name in seen} == {name: expected(one) for name, one in seen.items()}


@pytest.mark.parametrize("kind", OBJECTS)
def test_what_nobody_has_seen_is_not_current(said: dict[str, str], kind: str) -> None:
    # An error, because CEL cannot ask whether there is a status: Flux looks again until there is one.
    assert said[f"{kind}/never-seen"].startswith("Unknown\t")
