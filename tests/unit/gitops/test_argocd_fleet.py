"""Argo CD's health and actions of a RuntimeRollout, on every phase that the operator makes.

The files beside the scripts are what Argo CD's own tests read. MODELSERVICE_UPDATE_GOLDEN=1 writes them anew,
from the operator's decisions and never from the scripts.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any, get_args

import pytest
import yaml
from hack.generate.__main__ import ROOT
from hack.generate.argocd import FLEET_SCRIPTS, argocd_config_map
from tests.support import argo
from tests.unit.gitops.fleet_states import FLEET_STATES, fleet_world, runtime_rollout

from modelservice_operator.api import RuntimeRolloutStatus
from modelservice_operator.api.fleet_status import FleetPhase
from modelservice_operator.facts import labels

FOLDER = ROOT / FLEET_SCRIPTS
HEALTH = (FOLDER / "health.lua").read_text()
DISCOVERY = (FOLDER / "actions/discovery.lua").read_text()
VERBS = ("abort", "approve", "pause", "resume", "rollback")
ACTIONS = {verb: (FOLDER / f"actions/{verb}/action.lua").read_text() for verb in VERBS}
SHOWN = {"abort": "halted", "approve": "awaiting-approval", "pause": "progressing"} | {
    "resume": "paused-on-request",
    "rollback": "complete",
}
"""A state in which each action is shown in Argo CD's tests."""
UPDATES = bool(os.environ.get("MODELSERVICE_UPDATE_GOLDEN"))


def check_file(path: str, content: Any) -> None:
    """Compare a file with what it should hold, or write it."""
    file = FOLDER / path
    if UPDATES:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False, width=110))
    assert yaml.safe_load(file.read_text()) == json.loads(json.dumps(content)), path


def request_of(verb: str, obj: dict[str, Any]) -> str:
    """What the action is to ask of one that nobody has asked this before."""
    return f"approve@{obj['status'].get('wave')}" if verb == "approve" else verb


def is_accepted(name: str, request: str) -> bool:
    """Whether the operator does what somebody asks of a RuntimeRollout in this state."""
    asked = copy.deepcopy(fleet_world(name)).ask(request)
    answer = asked.rollout["status"].get("action") or {}
    return answer.get("request") == request and bool(answer["accepted"])


def accepted_verbs(name: str) -> dict[str, bool]:
    """Say of each verb whether the operator would do it, were the object read as it is."""
    obj = runtime_rollout(name)
    status = obj.get("status") or {}
    is_seen = status.get("observedGeneration") == obj["metadata"]["generation"]
    is_deleted = "deletionTimestamp" in obj["metadata"]
    return {
        verb: is_seen and not is_deleted and is_accepted(name, f"{request_of(verb, obj)}@once-more")
        for verb in VERBS
    }


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
    shown = {f"{name}-{verb}" for verb, name in SHOWN.items()}
    assert {file.stem for file in (FOLDER / "actions/testdata").iterdir()} == shown


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


def test_action_test_lists_every_state_and_action() -> None:
    discovery = [
        {
            "inputPath": f"../testdata/{name}.yaml",
            "result": [
                {"name": verb, "disabled": not accepted} for verb, accepted in accepted_verbs(name).items()
            ],
        }
        for name in FLEET_STATES
    ]
    actions = []
    for verb, name in SHOWN.items():
        expected = runtime_rollout(name)
        known = (expected["metadata"].get("annotations") or {}).get(labels.FLEET_ACTION)
        request = request_of(verb, expected)
        assert known != request
        assert is_accepted(name, request)
        expected["metadata"].setdefault("annotations", {})[labels.FLEET_ACTION] = request
        output = f"testdata/{name}-{verb}.yaml"
        check_file(f"actions/{output}", expected)
        actions.append(
            {"action": verb, "inputPath": f"../testdata/{name}.yaml", "expectedOutputPath": output}
        )
    check_file("actions/action_test.yaml", {"discoveryTests": discovery, "actionTests": actions})


@pytest.mark.parametrize("name", FLEET_STATES)
def test_actions_offered_are_those_that_the_operator_accepts(name: str) -> None:
    assert argo.run_discovery(DISCOVERY, runtime_rollout(name)) == accepted_verbs(name)


@pytest.mark.parametrize(("verb", "name"), SHOWN.items())
def test_action_writes_the_annotation_and_nothing_else(verb: str, name: str) -> None:
    obj = json.loads(json.dumps(runtime_rollout(name)))
    patch = argo.merge_patch(obj, argo.run_action(ACTIONS[verb], obj))
    assert patch == {"metadata": {"annotations": {labels.FLEET_ACTION: request_of(verb, obj)}}}


def test_action_that_was_asked_before_is_asked_anew() -> None:
    world = copy.deepcopy(fleet_world("progressing"))
    for verb in ("pause", "resume", "pause", "resume", "rollback"):
        before = (world.rollout["status"].get("action") or {}).get("request")
        asked = argo.run_action(ACTIONS[verb], json.loads(json.dumps(world.rollout)))
        world.ask(asked["metadata"]["annotations"][labels.FLEET_ACTION])
        answer = world.rollout["status"]["action"]
        assert (answer["accepted"], answer["request"] != before) == (True, True), answer


def test_action_asks_what_is_neither_answered_nor_written() -> None:
    annotations = {labels.FLEET_ACTION: "pause"}
    status = {"action": {"request": "pause@2"}}
    asked = argo.run_action(ACTIONS["pause"], {"metadata": {"annotations": annotations}, "status": status})
    assert asked["metadata"]["annotations"] == {labels.FLEET_ACTION: "pause@3"}


def test_actions_differ_in_what_they_ask_alone() -> None:
    plain = {verb: text for verb, text in ACTIONS.items() if verb != "approve"}
    assert len({text.replace(f'"{verb}"', "") for verb, text in plain.items()}) == 1
    assert ACTIONS["approve"].replace('"approve@" .. obj.status.wave', '"pause"') == ACTIONS["pause"].replace(
        "VERB,", "VERB@WAVE,"
    )


def test_config_map_holds_the_same_scripts() -> None:
    (found,) = [yaml.safe_load(text)["data"] for text in argocd_config_map(ROOT).values()]
    actions = yaml.safe_load(found["resource.customizations.actions.modelservice.dev_RuntimeRollout"])
    assert actions["discovery.lua"] == DISCOVERY
    assert {one["name"]: one["action.lua"] for one in actions["definitions"]} == ACTIONS


@pytest.mark.parametrize("status", [{}, {"conditions": []}, {"observedGeneration": 1}])
def test_script_takes_a_status_that_others_began(status: dict[str, Any]) -> None:
    obj = {"metadata": {"generation": 1}, "status": status}
    assert argo.run_health(HEALTH, obj)["status"] == "Progressing"
    assert not any(argo.run_discovery(DISCOVERY, obj).values())
