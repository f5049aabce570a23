"""Argo CD's health and actions of a ModelService, on every state that the operator makes.

The files beside the scripts (testdata, health_test.yaml, action_test.yaml) are what Argo CD's own tests read.
MODELSERVICE_UPDATE_GOLDEN=1 writes them anew, from the operator's decisions and never from the scripts.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest
import yaml
from hack.generate.__main__ import ROOT
from hack.generate.argocd import FLEET_SCRIPTS, SCRIPTS, argocd_config_map
from lupa import lua51
from tests.support import argo
from tests.unit.gitops.states import STATES, model_service, world_of

from modelservice_operator.facts import labels

FOLDER = ROOT / SCRIPTS
HEALTH = (FOLDER / "health.lua").read_text()
DISCOVERY = (FOLDER / "actions/discovery.lua").read_text()
VERBS = ("abort", "pause", "promote", "resume", "retry")
ACTIONS = {verb: (FOLDER / f"actions/{verb}/action.lua").read_text() for verb in VERBS}
SHOWN = {"promote": "canary-paused", "abort": "rolling", "pause": "canary-analysed"} | {
    "resume": "canary-paused-on-request",
    "retry": "canary-aborted",
}
"""A state in which each action is shown in Argo CD's tests."""
UPDATES = bool(os.environ.get("MODELSERVICE_UPDATE_GOLDEN"))


def check_file(path: str, content: Any) -> None:
    """Compare a file with what it should hold, or write it."""
    file = FOLDER / path
    if UPDATES:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.dump(content, Dumper=_PlainDumper, sort_keys=False, width=110))
    assert yaml.safe_load(file.read_text()) == json.loads(json.dumps(content)), path


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def is_accepted(name: str, request: str) -> bool:
    """Whether the operator does what somebody asks of a service in this state."""
    asked = copy.deepcopy(world_of(name))
    asked.service["metadata"].setdefault("annotations", {})[labels.ROLLOUT_ACTION] = request
    asked.reconcile()
    answer = (asked.service["status"].get("rollout") or {}).get("action") or {}
    assert answer.get("request", request) == request
    return bool(answer.get("accepted"))


def accepted_verbs(name: str) -> dict[str, bool]:
    """Say of each verb whether the operator would do it, were the object read as it is."""
    obj = model_service(name)
    target = obj.get("status", {}).get("targetRevision", "none")
    is_seen = obj.get("status", {}).get("observedGeneration") == obj["metadata"]["generation"]
    is_deleted = "deletionTimestamp" in obj["metadata"]
    return {
        verb: is_seen and not is_deleted and is_accepted(name, f"{verb}@{target}@once-more") for verb in VERBS
    }


def expected_message(obj: dict[str, Any]) -> str:
    """What is said: what the operator says, where that is about this version."""
    status = obj.get("status")
    if "deletionTimestamp" in obj["metadata"]:
        return "It is being deleted."
    if status is None or status["observedGeneration"] != obj["metadata"]["generation"]:
        return "The operator has not seen this version yet."
    found = {one["type"]: one for one in status["conditions"]}
    degraded, ready = found["Degraded"], found["Ready"]
    return str(degraded["message"] if degraded["status"] == "True" else ready["message"])


@pytest.mark.parametrize("name", STATES)
def test_testdata_is_what_the_operator_makes(name: str) -> None:
    check_file(f"testdata/{name}.yaml", model_service(name))


def test_testdata_has_no_state_that_nobody_makes() -> None:
    assert {file.stem for file in (FOLDER / "testdata").iterdir()} == set(STATES)


def test_health_test_lists_every_state() -> None:
    tests = [
        {
            "healthStatus": {"status": state.health, "message": expected_message(model_service(name))},
            "inputPath": f"testdata/{name}.yaml",
        }
        for name, state in STATES.items()
    ]
    check_file("health_test.yaml", {"tests": tests})


def test_action_test_lists_every_state_and_action() -> None:
    discovery = [
        {
            "inputPath": f"../testdata/{name}.yaml",
            "result": [
                {"name": verb, "disabled": not accepted} for verb, accepted in accepted_verbs(name).items()
            ],
        }
        for name in STATES
    ]
    actions = []
    for verb, name in SHOWN.items():
        expected = model_service(name)
        request = f"{verb}@{expected['status']['targetRevision']}"
        assert is_accepted(name, request)
        expected["metadata"].setdefault("annotations", {})[labels.ROLLOUT_ACTION] = request
        output = f"testdata/{name}-{verb}.yaml"
        check_file(f"actions/{output}", expected)
        actions.append(
            {"action": verb, "inputPath": f"../testdata/{name}.yaml", "expectedOutputPath": output}
        )
    check_file("actions/action_test.yaml", {"discoveryTests": discovery, "actionTests": actions})


def read_tests(path: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((FOLDER / path).read_text())[kind]
    return found


def read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / path).read_text())
    return found


@pytest.mark.parametrize("test", read_tests("health_test.yaml", "tests"), ids=lambda one: one["inputPath"])
def test_health(test: dict[str, Any]) -> None:
    assert argo.run_health(HEALTH, read(test["inputPath"])) == test["healthStatus"]


@pytest.mark.parametrize(
    "test", read_tests("actions/action_test.yaml", "discoveryTests"), ids=lambda one: one["inputPath"]
)
def test_actions_offered_are_those_that_the_operator_accepts(test: dict[str, Any]) -> None:
    offered = argo.run_discovery(DISCOVERY, read(f"actions/{test['inputPath']}"))

    assert offered == {one["name"]: not one["disabled"] for one in test["result"]}


@pytest.mark.parametrize(
    "test", read_tests("actions/action_test.yaml", "actionTests"), ids=lambda one: one["action"]
)
def test_action_writes_the_annotation_and_nothing_else(test: dict[str, Any]) -> None:
    obj, expected = read(f"actions/{test['inputPath']}"), read(f"actions/{test['expectedOutputPath']}")
    changed = argo.run_action(ACTIONS[test["action"]], obj)

    request = expected["metadata"]["annotations"][labels.ROLLOUT_ACTION]
    assert argo.merge_patch(obj, changed) == argo.merge_patch(obj, expected)
    annotations = argo.merge_patch(obj, changed)["metadata"]["annotations"]
    assert annotations == {labels.ROLLOUT_ACTION: request}


def test_action_that_was_asked_before_is_asked_anew() -> None:
    asked = copy.deepcopy(world_of("canary-paused"))
    for verb in ("pause", "resume", "pause", "resume", "abort", "retry", "abort", "retry"):
        if "abort" not in verb and not argo.run_discovery(DISCOVERY, asked.service)[verb]:
            continue
        before = (asked.status["rollout"].get("action") or {}).get("request")
        asked.service = argo.run_action(ACTIONS[verb], json.loads(json.dumps(asked.service)))
        asked.reconcile()
        answer = asked.status["rollout"]["action"]
        assert (answer["accepted"], answer["request"] != before) == (True, True), answer
        asked.reconcile()


@pytest.mark.parametrize(
    ("answered", "written", "expected"),
    [
        (None, None, "abort@new"),
        ("abort@new", "abort@new", "abort@new@2"),
        ("abort@new@2", "abort@new", "abort@new@3"),
        ("abort@new@2", None, "abort@new"),
        ("pause@new", "pause@new", "abort@new"),
    ],
)
def test_action_asks_what_is_neither_answered_nor_written(
    answered: str | None, written: str | None, expected: str
) -> None:
    obj: dict[str, Any] = {"metadata": {}, "status": {"targetRevision": "new", "rollout": {}}}
    if answered:
        obj["status"]["rollout"]["action"] = {"request": answered}
    if written:
        obj["metadata"]["annotations"] = {labels.ROLLOUT_ACTION: written}

    changed = argo.run_action(ACTIONS["abort"], obj)

    assert changed["metadata"]["annotations"] == {labels.ROLLOUT_ACTION: expected}


def test_actions_differ_in_their_verb_alone() -> None:
    assert {script.replace(f'"{verb}@"', "") for verb, script in ACTIONS.items()} == {
        ACTIONS["abort"].replace('"abort@"', "")
    }


@pytest.mark.parametrize(
    "status", [{}, {"conditions": []}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}]
)
def test_scripts_take_a_status_that_others_began(status: dict[str, Any]) -> None:
    obj = {"metadata": {"generation": 1}, "status": status}
    assert argo.run_health(HEALTH, obj)["status"] == "Progressing"
    assert not any(argo.run_discovery(DISCOVERY, obj).values())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("return string.format('x')", "string"),
        ("return ('x'):upper()", "index a string"),
        ("return io.open('/etc/passwd')", "io"),
        ("return os.execute('true')", "execute"),
        ("return require('io')", "io"),
        ("return math.floor(1.5)", "math"),
        ("while true do end", "too long"),
    ],
)
def test_sandbox_lacks_what_argo_cd_lacks(script: str, message: str) -> None:
    with pytest.raises(lua51.LuaError, match=message):
        argo.run(script, {})


def test_config_map_holds_the_same_scripts() -> None:
    (found,) = [yaml.safe_load(text)["data"] for text in argocd_config_map(ROOT).values()]
    fleet = (ROOT / FLEET_SCRIPTS / "health.lua").read_text()
    assert found["resource.customizations.health.modelservice.dev_RuntimeRollout"] == fleet
    kind = "modelservice.dev_ModelService"
    assert found[f"resource.customizations.health.{kind}"] == HEALTH
    actions = yaml.safe_load(found[f"resource.customizations.actions.{kind}"])
    assert actions["discovery.lua"] == DISCOVERY
    assert {one["name"]: one["action.lua"] for one in actions["definitions"]} == ACTIONS
    for path, text in argocd_config_map(ROOT).items():
        assert (ROOT / path).read_text() == text, "run `make generate`"
