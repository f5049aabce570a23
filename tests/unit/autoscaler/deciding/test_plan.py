"""What is done about a service after a look."""

from datetime import UTC, datetime

import pytest
from tests.unit.autoscaler.objects import make_service

from modelservice_autoscaler.algorithm.decision import Decision
from modelservice_autoscaler.algorithm.state import EMPTY
from modelservice_autoscaler.deciding.plan import Plan, build_report, is_followed, is_told, plan
from modelservice_autoscaler.watching.services import Service, read_service
from modelservice_operator.api.scaling_status import ScalingDecision

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
UP = Decision(2, 4, "Concurrency 12.4 of 8 a pod: 2 -> 4", None, "1 of 2 pods do not answer", (), EMPTY)
SLEEPY = {"minReplicas": 0, "idleSeconds": 60}


def service(**fields) -> Service:
    read = read_service(make_service(**fields))
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("fields", "followed"),
    [
        ({}, True),
        ({"engine": "HPA"}, False),
        ({"engine": "Keda"}, False),
        ({"engine": None}, False),
        ({"engine": "HPA", **SLEEPY}, True),
        ({"engine": "Keda", **SLEEPY}, False),
        ({"engine": None, **SLEEPY}, False),
        ({"deleting": True}, False),
        ({"replicas": 0}, False),
        ({"replicas": 0, **SLEEPY}, False),
    ],
    ids=str,
)
def test_service_is_followed_where_we_decide_or_send_it_to_sleep(fields, followed):
    assert is_followed(service(**fields)) is followed


def test_plan_of_our_own_engine_is_the_decision():
    assert plan(service(), UP, None) == Plan(4, UP.message, None, UP.missing)


def test_plan_of_another_engine_is_nothing_until_it_sleeps():
    assert plan(service(engine="HPA", **SLEEPY), UP, 59.0) is None
    asleep = plan(service(engine="HPA", **SLEEPY), UP, 60.0)
    assert asleep == Plan(0, "No request for 60 s: 2 -> 0")


@pytest.mark.parametrize(
    ("fields", "idle_seconds"),
    [
        ({"minReplicas": 1}, 10_000.0),
        (SLEEPY, 59.9),
        (SLEEPY, None),
        ({"ready": False, **SLEEPY}, 10_000.0),
        ({"minReplicas": 0}, 299.0),
    ],
    ids=["may not", "not long enough", "a pod is silent", "amid a change", "default"],
)
def test_service_does_not_sleep_yet(fields, idle_seconds):
    assert plan(service(**fields), UP, idle_seconds).desired == 4


def test_report_is_what_the_api_knows_and_takes_away_what_no_longer_holds():
    report = build_report(Plan(4, "x" * 600, "MaxReplicas", None), 2, NOW)
    assert report["missing"] is None
    known = ScalingDecision.model_validate({key: one for key, one in report.items() if one is not None})
    assert (known.replicas, known.desired, known.limit) == (2, 4, "MaxReplicas")
    assert len(known.message) == 512


@pytest.mark.parametrize(
    ("told", "is_it"),
    [
        (None, False),
        ({"message": "old"}, False),
        ({"limit": "MaxReplicas", "message": "other numbers"}, True),
        ({"limit": "MaxReplicas", "missing": "1 of 2 pods do not answer"}, False),
    ],
)
def test_what_hinders_is_told_once(told, is_it):
    assert is_told(Plan(4, "numbers", "MaxReplicas", None), told) is is_it
