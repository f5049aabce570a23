"""What Prometheus is told of a ModelService, read back by Prometheus' own client."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.operator.builders import World, make_model_service, make_runtime

from modelservice_operator.explain.states import FAMILIES, read_states

MAIL = {"namespace": "mail", "name": "spam"}


def series_of(service: dict[str, Any]) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by metric, without the labels of the service itself; every line has those."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family, line in read_states(msgspec.json.encode(service)):
        (metric,) = text_string_to_metric_families(line)
        (sample,) = metric.samples
        assert sample.name == family.name
        labels = dict(sample.labels)
        assert {key: labels.pop(key) for key in MAIL} == MAIL
        found.setdefault(sample.name, []).append((labels, sample.value))
    return found


def test_read_states_of_a_served_service_has_one_series_for_each_condition():
    world = World(make_runtime(default=True), replicas=2)
    world.settle()
    found = series_of(world.observe().service)
    told = {
        labels["condition"]: (labels["status"], labels["reason"])
        for labels, _ in found["modelservice_condition"]
    }
    assert told == {one["type"]: (one["status"], one["reason"]) for one in world.status["conditions"]}
    assert len(found["modelservice_condition"]) == len(told)
    assert {value for _, value in found["modelservice_condition"]} == {1.0}
    for name in ("wanted", "existing", "ready"):
        assert found[f"modelservice_replicas_{name}"] == [({}, 2.0)]
    revision = world.status["stableRevision"]
    (info,) = found["modelservice_info"]
    assert info[0] == {
        "stable_revision": revision,
        "target_revision": revision,
        "model_version": "",
        "runtime": "onnx",
    }
    assert found["modelservice_rollout_phase"] == [({"phase": "Complete", "reason": ""}, 1.0)]
    assert "modelservice_autoscaling_info" not in found


def test_read_states_of_a_rollout_tells_its_step_and_why_it_is_paused():
    rollout = {"phase": "Paused", "paused": "Inconclusive", "step": 1, "steps": 4, "weight": 25}
    found = series_of(make_model_service(status={"rollout": rollout}))
    assert found["modelservice_rollout_phase"] == [({"phase": "Paused", "reason": "Inconclusive"}, 1.0)]
    assert found["modelservice_rollout_step"] == [({}, 1.0)]
    assert found["modelservice_rollout_steps"] == [({}, 4.0)]
    assert found["modelservice_rollout_weight_ratio"] == [({}, 0.25)]
    del rollout["step"]  # the status does not say 0
    assert series_of(make_model_service(status={"rollout": rollout}))["modelservice_rollout_step"] == [
        ({}, 0.0)
    ]


def test_read_states_of_an_aborted_rollout_tells_its_reason():
    found = series_of(
        make_model_service(status={"rollout": {"phase": "Aborted", "reason": "AnalysisFailed"}})
    )
    assert found["modelservice_rollout_phase"] == [({"phase": "Aborted", "reason": "AnalysisFailed"}, 1.0)]


def test_read_states_of_an_autoscaled_service_tells_bounds_and_the_last_decision():
    decision = {"time": "x", "replicas": 2, "desired": 4, "limit": "MaxReplicas", "missing": "1 of 2 pods"}
    service = make_model_service(
        status={"autoscaling": {"engine": "Builtin"}, "autoscaler": decision},
        autoscaling={"maxReplicas": 4, "minReplicas": 0},
    )
    found = series_of(service)
    assert found["modelservice_autoscaling_info"] == [({"engine": "Builtin"}, 1.0)]
    assert found["modelservice_autoscaling_replicas_min"] == [({}, 0.0)]
    assert found["modelservice_autoscaling_replicas_max"] == [({}, 4.0)]
    assert found["modelservice_autoscaling_replicas_desired"] == [({}, 4.0)]
    assert found["modelservice_autoscaling_decision_info"] == [
        ({"limit": "MaxReplicas", "missing": "true"}, 1.0)
    ]
    # What another engine's predecessor decided once is not what happens now.
    service["status"]["autoscaling"]["engine"] = "HPA"
    assert "modelservice_autoscaling_replicas_desired" not in series_of(service)


def test_read_states_before_the_first_status_does_not_know_whether_it_is_ready():
    found = series_of(make_model_service())
    assert found["modelservice_condition"] == [
        ({"condition": "Ready", "status": "Unknown", "reason": "NotReported"}, 1.0)
    ]
    assert found["modelservice_replicas_ready"] == [({}, 0.0)]


@pytest.mark.parametrize("version", ['say "2"', "back\\slash", "two\nlines", "ünï"])
def test_read_states_escapes_what_people_write(version):
    service = make_model_service()
    service["spec"]["model"]["version"] = version
    ((labels, _),) = series_of(service)["modelservice_info"]
    assert labels["model_version"] == version


def test_families_are_named_once_and_described():
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    assert all("\n" not in family.text and "\\" not in family.text for family in FAMILIES)
