import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.builders import make_runtime

from modelservice_cli.commands import run
from modelservice_cli.errors import CommandError
from modelservice_cli.fleet.plan import CHANGE, FleetPlan, Manifest, plan_rollout
from modelservice_cli.fleet.plan_text import plan_json, plan_report
from modelservice_cli.rollout.report import as_text
from modelservice_operator.api import parse_runtime_rollout

Object = dict[str, Any]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)  # a Friday
OLD, NEW = "registry.example/onnx:1", "registry.example/onnx:2"
WAVES = [
    {"name": "first", "selector": {"matchLabels": {"stage": "first"}}},
    {"name": "rest", "rest": True, "approval": True},
]
READY = {"Ready": "True", "Available": "True", "Stalled": "False", "Degraded": "False"}


def service(
    name: str, *, stage: str = "", image: str = OLD, pin: bool = False, generation: int = 1, **holds: str
) -> Object:
    """A ModelService of namespace `mail`; `holds` are conditions that are not those of a good one."""
    conditions = [
        {"type": kind, "status": status, "reason": "Because", "message": f"{kind} is {status}."}
        | {"lastTransitionTime": "2026-05-01T11:00:00Z"}
        for kind, status in {**READY, **holds}.items()
    ]
    status = {
        "observedGeneration": 1,
        "stableRevision": "abc",
        "runtime": {"ref": "onnx", "image": image},
        "conditions": conditions,
    }
    return {
        "metadata": {
            "name": name,
            "namespace": "mail",
            "uid": "0123456789",
            "labels": {"stage": stage},
            "generation": generation,
        },
        "spec": {"runtime": {"pin": True}} if pin else {},
        "status": status,
    }


def planned(services: list[Object], now: datetime = NOW, **spec: Any) -> FleetPlan:
    manifest = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "RuntimeRollout",
        "metadata": {"name": "cve"},
        "spec": {"target": {"runtime": "onnx"}, "waves": WAVES, "maxUnavailable": "100%", **spec},
    }
    rollout = Manifest(parsed=parse_runtime_rollout(manifest, strict=True), raw=manifest)
    return plan_rollout(rollout, services, [make_runtime("onnx", image=NEW)], now)


def starts(plan: FleetPlan) -> dict[str, datetime | None]:
    return {one.member: one.starts_at for wave in plan.waves for one in wave.members}


def minutes(plan: FleetPlan) -> dict[str, float | None]:
    """Minutes from now until each starts; the planner may take a second more."""
    found = starts(plan).items()
    return {
        name.removeprefix("mail/"): None if at is None else (at - plan.now).total_seconds() // 60
        for name, at in found
    }


def test_plan_moves_one_wave_after_the_other():
    plan = planned([service("c"), service("b", stage="first"), service("a")], soakSeconds=60)
    assert [(one.name, [member.member for member in one.members]) for one in plan.waves] == [
        ("first", ["mail/b"]),
        ("rest", ["mail/a", "mail/c"]),
    ]
    assert minutes(plan) == {"b": 0, "a": 2, "c": 2}


def test_plan_lets_so_many_move_at_a_time():
    plan = planned([service(f"s{n}") for n in range(5)], maxConcurrent=2, soakSeconds=0)
    assert minutes(plan) == {"s0": 0, "s1": 0, "s2": 1, "s3": 1, "s4": 2}


def test_plan_says_who_would_not_move_and_why():
    broken = service("broken", Ready="False", Available="False", Stalled="True")
    plan = planned([service("done", image=NEW), service("pinned", pin=True), broken, service("moves")])
    why = {one.member: one.why for wave in plan.waves for one in wave.members}
    assert why == {
        "mail/broken": "it is broken already: Because: Ready is False.",
        "mail/done": "it has the image already",
        "mail/moves": "",
        "mail/pinned": "spec.runtime.pin keeps it where it is",
    }
    assert minutes(plan)["moves"] == 0


def test_plan_counts_on_changes_that_go_on_being_over():
    changing = service("changing", Ready="False", generation=2)
    assert minutes(planned([changing, service("other")]))["changing"] == 0


def test_plan_waits_for_windows():
    window = {"schedule": "0 22 * * *", "durationSeconds": 60, "timeZone": "Europe/Berlin"}
    services = [service("a", stage="first"), service("b")]
    found = starts(planned(services, soakSeconds=3600, maintenanceWindows=[window]))
    assert found == {
        "mail/a": datetime(2026, 5, 1, 20, tzinfo=UTC),
        "mail/b": datetime(2026, 5, 2, 20, tzinfo=UTC),
    }
    text = as_text(plan_report(planned(services, maintenanceWindows=[window])))
    assert "2026-05-01T20:00:00Z" in text


def test_plan_tells_who_cannot_move_because_too_many_have_no_pod():
    down = [service(f"d{n}", Ready="False", Available="False", Stalled="True") for n in range(2)]
    plan = planned([*down, service("well")], maxUnavailable=1)
    why = {one.member: one.why for wave in plan.waves for one in wave.members}
    assert minutes(plan)["well"] is None
    assert "too many members have no available pod" in why["mail/well"]


def test_plan_of_nobody_is_a_plan():
    assert as_text(plan_report(planned([]))) == (
        "cve: 0 of 0 ModelServices with ModelRuntime onnx would move"
    )


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"target": {"runtime": "none"}}, "cve would not start: ModelRuntime 'none' does not exist"),
        (
            {"maintenanceWindows": [{"schedule": "99 1 * * *", "durationSeconds": 60}]},
            r"spec.maintenanceWindows\[0\].schedule: .* the minute",
        ),
        (
            {"maintenanceWindows": [{"schedule": "9 1 * * *", "durationSeconds": 60, "timeZone": "Mars/X"}]},
            r"spec.maintenanceWindows\[0\].timeZone: 'Mars/X' is not known",
        ),
    ],
)
def test_plan_of_what_cannot_start_says_why(spec: Object, sentence: str):
    with pytest.raises(CommandError, match=sentence):
        planned([], **spec)


def test_report_shows_waves_movers_and_others():
    services = [service("b", stage="first"), service("a"), service("pinned", pin=True)]
    lines = as_text(plan_report(planned(services, soakSeconds=0))).splitlines()
    assert lines[0] == "cve: 2 of 3 ModelServices with ModelRuntime onnx would move"
    assert [line.split() for line in lines if line.startswith(("first", "rest"))] == [
        ["first", "1", "1", "+0", "s"],
        ["rest", "2", "1", "+60", "s", "waits", "for", "a", "person"],
    ]
    assert f"+60 s     rest   mail/a  {OLD}  {NEW}" in lines
    assert f"mail/pinned     rest  {OLD}  spec.runtime.pin keeps it where it is" in lines


def test_json_names_every_member():
    found = json.loads(json.dumps(plan_json(planned([service("b", stage="first"), service("a", pin=True)]))))
    assert found["waves"][0]["members"] == [
        {
            "member": "mail/b",
            "had": OLD,
            "gets": NEW,
            "moves": True,
            "earliest": "2026-05-01T12:00:00Z",
            "why": None,
        }
    ]
    assert found["waves"][1]["members"][0]["moves"] is False


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["first", ""]), max_size=12),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 90),
)
def test_plan_keeps_the_limits_and_moves_everybody(stages: list[str], most: int, unavailable: int, soak: int):
    services = [service(f"s{n}", stage=stage) for n, stage in enumerate(stages)]
    plan = planned(services, maxConcurrent=most, maxUnavailable=unavailable, soakSeconds=soak)
    found = starts(plan)
    assert None not in found.values()
    moments = [at for at in found.values() if at is not None]
    moving = CHANGE + timedelta(seconds=soak)
    for at in moments:
        assert sum(one <= at < one + moving for one in moments) <= min(most, unavailable)
    first, rest = ([one.starts_at for one in wave.members] for wave in plan.waves)
    assert all(one + moving <= other for one in first for other in rest if one and other)


def test_plan_of_one_that_has_started_goes_on_from_there():
    services = [service("a", image=NEW), service("b"), service("c"), service("d"), service("e")]
    manifest: Object = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "RuntimeRollout",
        "metadata": {"name": "cve", "uid": "9876543210"},
        "spec": {
            "target": {"runtime": "onnx"},
            "maxUnavailable": "100%",
            "maxConcurrent": 1,
            "maxFailures": 1,
        },
        "status": {
            "startedAt": "2026-05-01T11:00:00Z",
            "phase": "Progressing",
            "images": [OLD, NEW],
            "members": [f"mail/{name} 01234567 0 1" for name in "abcdx"],
            "states": "UMFPP",
            "waves": [{"name": "rest", "members": 5}],
            "moving": [{"member": "mail/b", "since": "2026-05-01T11:59:00Z"}],
        },
    }
    rollout = Manifest(parsed=parse_runtime_rollout(manifest), raw=manifest)

    plan = plan_rollout(rollout, services, [], NOW)

    (wave,) = plan.waves
    assert {one.member.removeprefix("mail/"): one.why for one in wave.members} == {
        "a": "it has the image already",
        "b": "it is on the way",
        "c": "it failed",
        "d": "",
        "x": "it was deleted",
    }
    assert minutes(plan)["d"] == 2  # b arrives, and soaks for a minute


def test_a_long_plan_tells_how_far_it_is():
    told: list[tuple[int, int]] = []
    manifest: Object = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "RuntimeRollout",
        "metadata": {"name": "cve"},
        "spec": {"target": {"runtime": "onnx"}, "maxConcurrent": 2, "maxUnavailable": "100%"},
    }
    rollout = Manifest(parsed=parse_runtime_rollout(manifest), raw=manifest)
    services = [service(name) for name in "abcde"]

    plan_rollout(
        rollout, services, [make_runtime("onnx", image=NEW)], NOW, lambda *counts: told.append(counts)
    )

    assert told[0] == (2, 5)
    assert told[-1] == (5, 5)
    assert told == sorted(told)


def test_plan_of_one_whose_status_cannot_be_read_says_why():
    manifest: Object = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "RuntimeRollout",
        "metadata": {"name": "cve", "uid": "9876543210"},
        "spec": {"target": {"runtime": "onnx"}},
        "status": {"startedAt": "2026-05-01T11:00:00Z", "members": ["mail/a 01234567 0 1"], "states": "P"},
    }
    rollout = Manifest(parsed=parse_runtime_rollout(manifest), raw=manifest)

    with pytest.raises(CommandError, match=r"cve cannot go on: status\.members: .* names an image"):
        plan_rollout(rollout, [], [], NOW)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-f", "missing.yaml"], 1, "missing.yaml"),
        ([], 2, "-f FILE"),
        (["cve"], 1, "no kubeconfig at none"),
    ],
)
def test_plan_says_what_is_wrong_with_the_command_before_it_looks_for_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    sentence: str,
):
    monkeypatch.chdir(tmp_path)
    assert run(["fleet", "plan", *arguments, "--kubeconfig", "none"]) == code
    assert sentence in capsys.readouterr().err
