"""What other implementations make of the objects that our scripts and conditions are written for.

kstatus is the library by which Flux, kpt and ApplySets wait; the Lua machine is the one inside Argo CD.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hack.cluster.binaries import go_environment
from hack.generate.__main__ import ROOT
from hack.generate.argocd import FLEET_SCRIPTS, SCRIPTS
from tests.support import argo
from tests.unit.gitops.fleet_states import FLEET_STATES, runtime_rollout
from tests.unit.gitops.states import STATES, model_service

Object = dict[str, Any]


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    return {name: model_service(name) for name in STATES}


@pytest.fixture(scope="module")
def rollouts() -> dict[str, Object]:
    return {name: runtime_rollout(name) for name in FLEET_STATES}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the two programs in `go/`, built."""
    folder = tmp_path_factory.mktemp("programs")
    command = ["go", "build", "-o", f"{folder}/", "./kstatus", "./argo-lua"]
    subprocess.run(command, cwd=Path(__file__).parent / "go", env=go_environment(), check=True)
    return folder


def ask(program: Path, objects: dict[str, Object], *arguments: str) -> dict[str, str]:
    """What a program that reads and writes lines says of each object."""
    lines = "".join(json.dumps(one) + "\n" for one in objects.values())
    answer = subprocess.run([program, *arguments], input=lines, capture_output=True, text=True, check=True)
    return dict(zip(objects, answer.stdout.splitlines(), strict=True))


def expected_kstatus(obj: Object) -> str:
    """By our conditions alone: Current iff Ready, Failed iff Stalled."""
    status = obj.get("status")
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    if status is None:
        return "Current"  # nothing of an object can say otherwise: see docs/gitops.md
    if status["observedGeneration"] != obj["metadata"]["generation"]:
        return "InProgress"
    holds = {one["type"]: one["status"] == "True" for one in status["conditions"]}
    if holds["Ready"]:
        return "Current"
    return "Failed" if holds["Stalled"] else "InProgress"


def test_kstatus_agrees_with_the_conditions_in_every_state(
    programs: Path, objects: dict[str, Object]
) -> None:
    said = ask(programs / "kstatus", objects)

    expected = {name: expected_kstatus(one) for name, one in objects.items()}
    assert {name: line.partition("\t")[0] for name, line in said.items()} == expected
    assert set(expected.values()) == {"Current", "InProgress", "Failed", "Terminating"}


def test_kstatus_agrees_with_the_conditions_of_runtime_rollouts(
    programs: Path, rollouts: dict[str, Object]
) -> None:
    said = ask(programs / "kstatus", rollouts)

    expected = {name: expected_kstatus(one) for name, one in rollouts.items()}
    assert {name: line.partition("\t")[0] for name, line in said.items()} == expected
    assert set(expected.values()) == {"Current", "InProgress", "Failed", "Terminating"}


def test_health_of_runtime_rollouts_is_the_same_in_the_lua_machine_of_argo_cd(
    programs: Path, rollouts: dict[str, Object]
) -> None:
    script = ROOT / FLEET_SCRIPTS / "health.lua"
    for name, line in ask(programs / "argo-lua", rollouts, str(script)).items():
        assert json.loads(line) == argo.run(script.read_text(), rollouts[name]), name


def test_kstatus_says_why_something_failed(programs: Path, objects: dict[str, Object]) -> None:
    failed = {name: one for name, one in objects.items() if expected_kstatus(one) == "Failed"}
    for name, line in ask(programs / "kstatus", failed).items():
        ready = next(one for one in failed[name]["status"]["conditions"] if one["type"] == "Ready")
        assert line == f"Failed\t{ready['message']}"


@pytest.mark.parametrize("script", ["health.lua", "actions/discovery.lua"])
def test_scripts_say_the_same_in_the_lua_machine_of_argo_cd(
    script: str, programs: Path, objects: dict[str, Object]
) -> None:
    said = ask(programs / "argo-lua", objects, str(ROOT / SCRIPTS / script))

    text = (ROOT / SCRIPTS / script).read_text()
    for name, line in said.items():
        assert json.loads(line) == argo.run(text, objects[name]), name
