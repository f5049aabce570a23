"""What `top` shows of services and pods."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.unit.operator.builders import Object, make_model_service, make_pod, make_ready_pod

from modelservice_autoscaler.algorithm.load import GpuLoad
from modelservice_cli.rollout.report import as_text
from modelservice_cli.top.busy import Busy
from modelservice_cli.top.rows import ServiceRow, as_json, pods_report, service_rows, services_report
from modelservice_operator.work.measure.counts import DURATIONS, Counts

BUSY = Busy(
    running=2,
    waiting=3,
    concurrency=4.96,
    requests_per_second=120.04,
    cpu_cores=1.234,
    memory_bytes=300 << 20,
    counts=Counts(
        buckets={(DURATIONS, 0.01): 0.0, (DURATIONS, 0.02): 100.0, (DURATIONS, float("inf")): 100.0}
    ),
    waits={0.0005: 100},
    gpus=(GpuLoad(0.5, 20, 100),),
)
AUTOSCALED = {
    "autoscaling": {"engine": "Builtin"},
    "autoscaler": {
        "time": "2026-11-29T12:00:00Z",
        "replicas": 2,
        "desired": 4,
        "message": "Concurrency 12.4 of 8 a pod: 2 -> 4",
        "limit": "MaxReplicas",
    },
    "conditions": [
        {
            "type": "AutoscalingActive",
            "status": "True",
            "reason": "Scaling",
            "message": "Builtin: Concurrency 12.4 of 8 a pod: 2 -> 4.",
        }
    ],
}


def named(pod: Object, name: str, service: str = "spam") -> Object:
    pod["metadata"] |= {"name": name, "uid": f"uid-{name}"}
    pod["metadata"]["labels"]["modelservice.dev/name"] = service
    return pod


def rows(*pods: Object, busy: dict[str, Busy] | None = None, **service: Any) -> list[ServiceRow]:
    service = {"replicas": 4, "status": AUTOSCALED, **service}
    services = [make_model_service("spam", **service), make_model_service("asleep", replicas=0)]
    return service_rows(services, pods, busy or {})


def test_a_line_for_each_service_says_what_is_wanted_and_below_it_why() -> None:
    pods = (named(make_ready_pod("abc"), "pod-1"), named(make_pod("abc"), "pod-2"))
    text = as_text(services_report(rows(*pods, busy={"uid-pod-1": BUSY}))).splitlines()
    header, asleep, spam, _, decision = text

    columns = ["NAME", "PODS", "CONC", "WAIT", "RPS", "P99", "QUEUE", "CPU", "MEM", "GPU", "VRAM", "ENGINE"]
    assert header.split() == columns
    assert asleep.split() == ["asleep", "0/0", *["-"] * 10]
    assert spam.split() == [
        *("spam", "1/4", "5.0", "3", "120.0", "19.9ms", "475us", "1.23", "300Mi", "50%", "20%", "Builtin")
    ]
    assert decision == "spam: Builtin: Concurrency 12.4 of 8 a pod: 2 -> 4"
    assert max(map(len, text)) <= 80


def test_a_line_for_each_pod_of_a_service_and_one_for_all() -> None:
    pods = [named(make_ready_pod("abc"), f"pod-{number}") for number in (2, 1)]
    pods += [named(make_pod("abc"), "pod-3"), named(make_ready_pod("abc"), "other", "asleep")]
    row = rows(*pods, busy={"uid-pod-1": BUSY, "uid-pod-2": BUSY})[1]
    headline, _, header, *lines = as_text(pods_report(row)).splitlines()

    assert headline == "spam: 2 of 4 pods are ready; Builtin: Concurrency 12.4 of 8 a pod: 2 -> 4"
    assert header.split()[:4] == ["POD", "CONC", "WAIT", "RPS"]
    assert [line.split()[:4] for line in lines] == [
        ["pod-1", "5.0", "3", "120.0"],
        ["pod-2", "5.0", "3", "120.0"],
        ["pod-3", "(not", "ready)", "-"],
        ["all", "9.9", "6", "240.1"],
    ]


def test_engine_that_does_not_work_is_shown_so_whoever_it_is_and_whatever_it_decided_before() -> None:
    failing = {
        "type": "AutoscalingActive",
        "status": "False",
        "reason": "KedaMissing",
        "message": "The number of pods stays as it is: the cluster serves no ScaledObjects.",
    }
    for engine in ("Keda", "HPA", "Builtin"):
        status = {**AUTOSCALED, "autoscaling": {"engine": engine}, "conditions": [failing]}
        row = rows(status=status)[1]
        expected = "KedaMissing: The number of pods stays as it is: the cluster serves no ScaledObjects"
        assert as_text(services_report([row])).splitlines()[-1] == f"spam: {expected}"
        assert as_text(pods_report(row)) == f"spam: 0 of 4 pods are ready; {expected}"
        assert as_json(row)["autoscaling"] == {
            "active": False,
            "reason": "KedaMissing",
            "message": failing["message"],
        }


def test_columns_that_nobody_fills_are_left_out() -> None:
    pods = (named(make_ready_pod("abc"), "pod-1"),)
    without_gpu = replace(BUSY, gpus=())
    for parts in (
        services_report(rows(*pods, busy={"uid-pod-1": without_gpu}, status={})),
        pods_report(rows(*pods, busy={"uid-pod-1": without_gpu}, status={})[1]),
    ):
        text = as_text(parts)
        assert "CONC" in text
        assert "GPU" not in text
        assert "ENGINE" not in text


def test_service_that_nobody_has_seen_yet_is_shown() -> None:
    (row,) = service_rows([make_model_service("new", replicas=None)], [], {})
    assert as_text(pods_report(row)).startswith("new: 0 of ")
    assert as_text(services_report([])) == "There is no ModelService here."


def test_json_has_null_where_nothing_is_known() -> None:
    pods = (named(make_ready_pod("abc"), "pod-1"), named(make_pod("abc"), "pod-2"))
    asleep, spam = json.loads(json.dumps([as_json(row) for row in rows(*pods, busy={"uid-pod-1": BUSY})]))

    assert (spam["readyPods"], spam["wantedPods"], spam["engine"]) == (1, 4, "Builtin")
    assert spam["decision"]["desired"] == 4
    assert spam["pods"][0]["load"] == spam["load"]
    assert spam["load"]["concurrency"] == 4.96
    assert (spam["load"]["gpuUtilization"], spam["load"]["gpuMemoryUtilization"]) == (0.5, 0.2)
    assert spam["pods"][1] == {"name": "pod-2", "revision": "abc", "ready": False, "load": None}
    assert spam["autoscaling"]["active"] is True
    assert (asleep["load"], asleep["engine"], asleep["decision"], asleep["pods"]) == (None, None, None, [])
    assert asleep["autoscaling"] is None
