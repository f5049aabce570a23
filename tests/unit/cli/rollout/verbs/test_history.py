from __future__ import annotations

import pytest
from tests.unit.cli.rollout.worlds import controller_revisions, facts_of, make_world
from tests.unit.operator.builders import make_runtime, model

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.facts import read_records
from modelservice_cli.rollout.report import as_text
from modelservice_cli.rollout.verbs.history import diff_report, history_json, history_report

URI = "oci://registry.example/models/spam"


def test_history_says_what_changed_and_what_serves() -> None:
    world = make_world(1, 2)
    world.edit(model=model(3), env=[{"name": "TZ", "value": "UTC"}], batching={"maxBatchSize": 8})
    world.reconcile()
    world.status.pop("outcomes", None)

    assert as_text(history_report(facts_of(world))) == (
        "NUMBER  REVISION    CREATED               STATE   CHANGED"
        "                                         MODEL                                 IMAGE\n"
        "1       ngh6zkzrdw  2026-01-02T03:04:05Z  -       -"
        f"                                               {URI}:1  registry.example/onnx:1\n"
        "2       l9zh79pg25  2026-01-02T03:05:05Z  stable  spec.model.storageUri"
        f"                           {URI}:2  registry.example/onnx:1\n"
        "3       sh5trmgsd8  2026-01-02T03:05:05Z  target  spec.batching, spec.env, spec.model.storageUri"
        f"  {URI}:3  registry.example/onnx:1"
    )


def test_history_names_revisions_that_never_served() -> None:
    world = make_world(1, 2)
    world.edit(model=model(99))
    bad = str(world.reconcile().target.name)
    world.broken.add(bad)
    world.settle()
    world.edit(model=model(3))
    world.settle()

    states = {one["revision"]: one["state"] for one in history_json(facts_of(world))}

    assert states[bad] == "never served"
    assert [*states.values()].count("never served") == 1


def test_history_of_many_changed_fields_counts_the_rest() -> None:
    world = make_world(1)
    world.edit(
        model=model(2),
        batching={"maxBatchSize": 8},
        resources={"requests": {"cpu": "1"}},
        serviceAccountName="workload",
        terminationGracePeriodSeconds=5,
    )
    world.settle()
    facts = facts_of(world)

    assert history_json(facts)[0]["changed"] is None
    assert history_json(facts)[1]["changed"] == [
        "spec.batching",
        "spec.model.storageUri",
        "spec.resources",
        "spec.serviceAccountName",
        "spec.terminationGracePeriodSeconds",
    ]
    assert "spec.batching, spec.model.storageUri, spec.resources and 2 more" in as_text(history_report(facts))


def test_history_names_a_runtime_that_changed() -> None:
    world = make_world(1)
    world.runtimes.append(make_runtime("other"))
    world.edit(runtime={"ref": "other"})
    world.settle()
    (_, last) = history_json(facts_of(world))

    assert last["changed"] == ["spec.runtime", "runtime.image", "runtime.name"]
    assert (last["image"], last["state"]) == ("registry.example/other:1", "stable")


def test_records_of_others_and_damaged_ones_are_left_out() -> None:
    world = make_world(1, 2)
    found = controller_revisions(world)
    found[0]["metadata"]["ownerReferences"] = [{"uid": "somebody"}]
    found[1]["data"] = {"inputs": 1}

    assert read_records(world.service, found) == ()


def test_diff_default_is_stable_against_target() -> None:
    world = make_world(1, 2)
    world.edit(model=model(3), batching={"maxBatchSize": 8})
    world.reconcile()

    assert diff_report(facts_of(world), []) == (
        "--- l9zh79pg25 (revision 2, stable)\n"
        "+++ fls8gd9lpn (revision 3, target)\n"
        "spec.batching\n"
        '+ {"maxBatchSize": 8}\n'
        "spec.model.storageUri\n"
        f"- {URI}:2\n"
        f"+ {URI}:3"
    )


@pytest.mark.parametrize(
    ("revisions", "pair"),
    [
        ([], ("l9zh79pg25", "tags3")),
        (["1"], ("ngh6zkzrdw", "tags3")),
        (["2", "ngh6zkzrdw"], ("l9zh79pg25", "ngh6zkzrdw")),
    ],
)
def test_diff_revisions_by_number_and_name(revisions: list[str], pair: tuple[str, str]) -> None:
    world = make_world(1, 2, 3)
    tags3 = world.status["stableRevision"]
    before, after = (tags3 if one == "tags3" else one for one in pair)
    lines = diff_report(facts_of(world), revisions).splitlines()

    assert lines[0].startswith(f"--- {before} ")
    assert lines[1].startswith(f"+++ {after} ")


@pytest.mark.parametrize(
    ("tags", "revisions", "message"),
    [
        ((1,), [], "one revision only"),
        ((1, 2), ["7"], r"no recorded revision '7'; there are: 1 \(ngh6zkzrdw\), 2 \(l9zh79pg25\)"),
    ],
)
def test_diff_of_what_does_not_exist_is_refused(
    tags: tuple[int, ...], revisions: list[str], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        diff_report(facts_of(make_world(*tags)), revisions)
