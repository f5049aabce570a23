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
from tests.unit.gitops.states import STATES, model_service

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What Flux says of each state, by the expressions that we ship."""
    program = tmp_path_factory.mktemp("flux") / "health"
    build = ["go", "build", "-o", str(program), "./health"]
    subprocess.run(build, cwd=GO_MODULES / "kustomize-controller", env=go_environment(), check=True)
    _, kustomization = yaml.safe_load_all((ROOT / "gitops/flux/models.yaml").read_text(encoding="utf-8"))
    (expressions,) = kustomization["spec"]["healthCheckExprs"]
    return ask(program, expressions)


def ask(program: Path, expressions: dict[str, Any]) -> dict[str, str]:
    lines = "".join(json.dumps(model_service(name)) + "\n" for name in STATES)
    command = [program, json.dumps(expressions)]
    answer = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return dict(zip(STATES, answer.stdout.splitlines(), strict=True))


def expected(name: str) -> str:
    service = model_service(name)
    if service["status"]["observedGeneration"] != service["metadata"]["generation"]:
        return "InProgress"
    holds = {one["type"]: one["status"] == "True" for one in service["status"]["conditions"]}
    return "Current" if holds["Ready"] else "Failed" if holds["Stalled"] else "InProgress"


def test_flux_says_what_the_conditions_say(said: dict[str, str]) -> None:
    seen = [name for name in STATES if "status" in model_service(name)]
    assert {name: said[name] for name in seen} == {name: expected(name) for name in seen}


def test_service_that_nobody_has_seen_is_not_current(said: dict[str, str]) -> None:
    # An error, because CEL cannot ask whether there is a status: Flux looks again until there is one.
    assert said["never-seen"].startswith("Unknown\t")
