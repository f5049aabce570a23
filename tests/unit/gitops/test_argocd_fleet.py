"""Argo CD's health of a RuntimeRollout, on every phase that the operator makes.

The files beside the script are what Argo CD's own tests read. MODELSERVICE_UPDATE_GOLDEN=1 writes them anew,
from the operator's decisions and never from the script.
"""

from __future__ import annotations

import json
import os
from typing import Any, get_args

import pytest
import yaml
from hack.generate.__main__ import ROOT
from hack.generate.argocd import FLEET_SCRIPTS
from tests.support import argo
from tests.unit.gitops.fleet_states import FLEET_STATES, runtime_rollout

from modelservice_operator.api import RuntimeRolloutStatus
from modelservice_operator.api.fleet_status import FleetPhase

FOLDER = ROOT / FLEET_SCRIPTS
HEALTH = (FOLDER / "health.lua").read_text()
UPDATES = bool(os.environ.get("MODELSERVICE_UPDATE_GOLDEN"))


def check_file(path: str, content: Any) -> None:
    """Compare a file with what it should hold, or write it."""
    file = FOLDER / path
    if UPDATES:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False, width=110))
    assert yaml.safe_load(file.read_text()) == json.loads(json.dumps(content)), path


def expected_message(obj: dict[str, Any]) -> str:
    """What is said: what the operator says, where that is about this version."""
    status = obj.get("status")
    if "deletionTimestamp" in obj["metadata"]:
        return "It is being deleted."
    if status is None or status["observedGeneration"] != obj["metadata"]["generation"]:
        return "The operator has not seen this version yet."
    found = {one["type"]: one for one in status["conditions"]}
    return str(found["Degraded" if found["Degraded"]["status"] == "True" else "Ready"]["message"])


def test_states_have_every_phase() -> None:
    made = {runtime_rollout(name).get("status", {}).get("phase") for name in FLEET_STATES}
    assert made - {None} == set(get_args(FleetPhase))


@pytest.mark.parametrize("name", FLEET_STATES)
def test_state_is_one_that_the_api_takes_and_has_its_phase(name: str) -> None:
    obj = runtime_rollout(name)
    check_file(f"testdata/{name}.yaml", obj)
    status = obj.get("status") or {}
    RuntimeRolloutStatus.model_validate(status)
    assert status.get("phase") == FLEET_STATES[name].phase


def test_testdata_has_no_state_that_nobody_makes() -> None:
    assert {file.stem for file in (FOLDER / "testdata").iterdir()} == set(FLEET_STATES)


def test_health_test_lists_every_state() -> None:
    tests = [
        {
            "healthStatus": {"status": state.health, "message": expected_message(runtime_rollout(name))},
            "inputPath": f"testdata/{name}.yaml",
        }
        for name, state in FLEET_STATES.items()
    ]
    check_file("health_test.yaml", {"tests": tests})


@pytest.mark.parametrize("name", FLEET_STATES)
def test_health(name: str) -> None:
    obj = runtime_rollout(name)
    assert argo.run_health(HEALTH, json.loads(json.dumps(obj))) == {
        "status": FLEET_STATES[name].health,
        "message": expected_message(obj),
    }


@pytest.mark.parametrize("status", [{}, {"conditions": []}, {"observedGeneration": 1}])
def test_script_takes_a_status_that_others_began(status: dict[str, Any]) -> None:
    obj = {"metadata": {"generation": 1}, "status": status}
    assert argo.run_health(HEALTH, obj)["status"] == "Progressing"
