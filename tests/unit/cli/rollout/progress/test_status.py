from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console
from tests.unit.cli.rollout.worlds import facts_of, later, make_world
from tests.unit.operator.builders import NOW, World, make_pod, make_ready_pod, model

from modelservice_cli.rollout.progress.live import live_view
from modelservice_cli.rollout.progress.status import EXIT_CODES, rollout_status
from modelservice_cli.rollout.progress.text import status_line, status_report
from modelservice_cli.rollout.report import as_text

BAD_IMAGE = {
    "containerStatuses": [
        {"name": "server", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    ]
}


def change_to_a_bad_image(world: World) -> str:
    """Begin a change whose pods find no image; returns its revision."""
    world.edit(model=model(3))
    world.reconcile()
    revision = str(world.status["targetRevision"])
    world.broken.add(revision)
    world.run_controllers()
    world.pods = (make_pod(revision, **BAD_IMAGE),)
    world.settle()
    return revision


def test_status_of_a_complete_change() -> None:
    world = make_world(1, 2, replicas=3)
    world.status["outcomes"] = [
        {"revision": "ngh6zkzrdw", "outcome": "Replaced", "reason": "NewRevision", "time": later(60)},
        {"revision": "l9zh79pg25", "outcome": "Stable", "reason": "RolloutComplete", "time": later(60)},
    ]
    status = rollout_status(facts_of(world))

    assert as_text(status_report(status, NOW)) == (
        "spam in namespace mail: complete\n"
        "Ready: 3 of 3 replicas are available.\n"
        "\n"
        "REVISION    ROLE    WANTED  READY  AVAILABLE  TRAFFIC  GOAL  MODEL\n"
        "l9zh79pg25  stable  3       3      3          100%     100%  oci://registry.example/models/spam:2\n"
        "\n"
        "REVISION    OUTCOME   SINCE                 WHY\n"
        "ngh6zkzrdw  Replaced  2026-01-02T03:05:05Z  NewRevision\n"
        "\n"
        "CONDITION    HOLDS  SINCE                 WHY\n"
        "Ready        yes    2026-01-02T03:05:05Z  Ready\n"
        "Available    yes    2026-01-02T03:04:05Z  ReplicasAvailable: 3 replicas answer requests.\n"
        "Progressing  no     2026-01-02T03:05:05Z  Complete: Revision l9zh79pg25 is rolled out.\n"
        "Degraded     no     2026-01-02T03:04:05Z  AsExpected"
    )
    assert EXIT_CODES[status.state] == 0


def test_status_of_a_change_that_fails_names_cause_and_pods_once_and_goes_on() -> None:
    world = make_world(2, replicas=3)
    new = change_to_a_bad_image(world)
    status = rollout_status(facts_of(world, pods=world.pods))
    text = as_text(status_report(status, NOW))

    assert status.state == "Progressing"
    assert status.state not in EXIT_CODES
    assert text.count("cannot be pulled") == 1
    assert text.count("was recorded as it was") == 1
    assert "l9zh79pg25  stable  3       3      3          100%     " in text
    assert f"{new}  target  1       0      0          0%       " in text
    assert all(model(tag)["storageUri"] in text for tag in (2, 3))
    assert text.endswith(f"pod-1          {new}  Pending  ImagePullFailed")


def test_status_of_a_change_that_was_given_up_has_come_to_its_end() -> None:
    world = make_world(2)
    new = change_to_a_bad_image(world)
    world.wait(601)
    world.settle()
    status = rollout_status(facts_of(world, pods=world.pods))

    assert status.state == "GivenUp"
    assert EXIT_CODES[status.state] == 1
    assert [(one.revision, one.role) for one in status.revisions] == [
        ("l9zh79pg25", "stable"),
        (new, "given up"),
    ]
    line = status_line(status)
    assert line.startswith(
        f"spam: given up, it needs you; l9zh79pg25 (stable) 1 of 1 available 100%, {new} (given up) 0 of 0 "
        "available 0%; "
    )
    assert "; ImagePullFailed: Revision" in line


def test_status_pod_remedy_is_that_of_the_operator() -> None:
    """A wrong image of the runtime that serves is mended elsewhere than one that was never stable."""
    world = make_world(2)
    change_to_a_bad_image(world)
    status = rollout_status(facts_of(world, pods=world.pods))

    assert [one.message for one in status.pods] == [
        status.message.removesuffix(" The pods start by themselves then, within about two minutes.")
    ]


def test_status_before_the_operator_has_seen_the_edit_has_no_end() -> None:
    world = make_world(1)
    world.edit(model=model(2))
    status = rollout_status(facts_of(world))

    assert status.state == "Unobserved"
    assert status.state not in EXIT_CODES
    assert "generation 2" in status.message


def test_status_of_an_invalid_spec_is_stalled() -> None:
    world = make_world(1)
    world.edit(model={"storageUri": "nowhere"})
    world.settle()
    status = rollout_status(facts_of(world))

    assert (status.state, status.reason) == ("Stalled", "InvalidSpec")


def test_status_of_a_complete_change_that_needs_a_person_is_no_success() -> None:
    world = make_world(1)
    for one in world.status["conditions"]:
        if one["type"] == "Degraded":
            one |= {"status": "True", "reason": "ModelContentChanged", "message": "other bytes"}
    status = rollout_status(facts_of(world))

    assert (status.state, status.reason, status.message) == ("Degraded", "ModelContentChanged", "other bytes")
    assert EXIT_CODES[status.state] == 1


def test_status_names_what_may_not_be_read() -> None:
    facts = facts_of(
        make_world(1, 2), records=None, deployments=None, pods=None, unreadable=("Pods", "Events")
    )
    status = rollout_status(facts)
    text = as_text(status_report(status, NOW))

    assert "l9zh79pg25  stable  ?       ?      ?          100%     100%  ?" in text
    assert text.endswith("You may not read Pods, Events here: what they would tell is missing.")
    assert "? of ? available" in status_line(status)


def test_status_is_json() -> None:
    world = make_world(2)
    change_to_a_bad_image(world)
    found: dict[str, Any] = json.loads(json.dumps(rollout_status(facts_of(world, pods=world.pods)).as_json()))

    assert found["state"] == "Progressing"
    assert [one["role"] for one in found["revisions"]] == ["stable", "target"]
    assert found["pods"][0]["reason"] == "ImagePullFailed"
    assert {one["type"] for one in found["conditions"]} >= {"Ready", "Stalled"}


def test_status_shows_ten_pods_that_are_not_ready() -> None:
    world = make_world(1)
    pods = [make_pod("l9zh79pg25", f"pod-{number:02}") for number in range(12)]
    facts = facts_of(world, pods=[*pods, make_ready_pod("l9zh79pg25", "pod-ready")])
    text = as_text(status_report(rollout_status(facts), NOW))

    assert text.count("\npod-") == 10
    assert text.endswith("and 2 more")


def test_live_view_shows_what_the_report_says() -> None:
    world = make_world(2)
    change_to_a_bad_image(world)
    status = rollout_status(facts_of(world, pods=world.pods))
    written = io.StringIO()
    with live_view(Console(width=300, file=written, force_terminal=True)) as show:
        show(status)
    shown = written.getvalue()

    assert all(one.revision in shown for one in status.revisions)
    assert status.message in shown


def test_live_view_takes_brackets_for_text() -> None:
    world = make_world(1)
    world.status["conditions"][0]["message"] = "GPU [bold]nvidia.com/gpu[/] missing"
    written = io.StringIO()
    with live_view(Console(width=300, file=written)) as show:
        show(rollout_status(facts_of(world)))

    assert "GPU [bold]nvidia.com/gpu[/] missing" in written.getvalue()


def test_codes_in_what_a_cluster_says_never_reach_a_terminal() -> None:
    world = make_world(1)
    for condition in world.status["conditions"]:
        condition["message"] = "a\x1b[2J\x9b31m\u202e\r\nforged: yes"
    status = rollout_status(facts_of(world))
    written = io.StringIO()
    with live_view(Console(width=300, file=written)) as show:
        show(status)

    for shown in (written.getvalue(), as_text(status_report(status, NOW)), status_line(status)):
        assert r"a\x1b[2J\x9b31m\u202e\r\nforged: yes" in shown
        assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(shown)


def test_counts_of_another_moment_than_the_status_are_said_to_be() -> None:
    status = rollout_status(facts_of(make_world(1), settled=False))

    assert as_text(status_report(status, NOW)).endswith("counts and traffic may differ.")
    assert status_line(status).endswith("; pods have changed since")
    assert status.as_json()["settled"] is False


def test_pods_that_leave_are_no_part_of_those_that_are_wanted() -> None:
    world = make_world(1, replicas=2)
    facts = facts_of(world)
    leaving = {"spec": {"replicas": 0}, "status": {"availableReplicas": 2}}
    status = rollout_status(facts_of(world, deployments={**(facts.deployments or {}), "aaaaaaaaaa": leaving}))

    assert "aaaaaaaaaa (leaving) 2 available, 0 wanted" in status_line(status)
