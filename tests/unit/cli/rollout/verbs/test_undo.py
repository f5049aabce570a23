from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cli.rollout.worlds import facts_of, make_world
from tests.unit.operator.builders import World, make_runtime, model

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.verbs.undo import Undo, plan_undo, refusal, undo_report
from modelservice_operator.facts.labels import ROLLOUT_ACTION

OURS = "modelservice-cli"


def plan(world: World, to_revision: str | None = None) -> Undo:
    return plan_undo(facts_of(world), to_revision, OURS)


def carry_out(world: World, undo: Undo) -> None:
    world.service["spec"] = undo.spec
    world.service["metadata"]["generation"] += 1


def managed(world: World, manager: str, *fields: str, **entry: Any) -> None:
    owned = {"f:spec": {f"f:{field}": {} for field in fields}}
    entries = world.service["metadata"].setdefault("managedFields", [])
    entries.append({"manager": manager, "operation": "Apply", "fieldsV1": owned, **entry})


def test_undo_without_a_name_goes_to_the_revision_before() -> None:
    undo = plan(make_world(1, 2))

    assert undo.record.number == 1
    assert undo_report(undo, "ngh6zkzrdw (revision 1)", dry_run=False) == (
        "spam goes back to ngh6zkzrdw (revision 1):\n"
        "spec.model.storageUri\n"
        "- oci://registry.example/models/spam:2\n"
        "+ oci://registry.example/models/spam:1"
    )


def test_undo_in_the_middle_of_a_change_goes_to_the_stable_revision() -> None:
    world = make_world(1, 2)
    world.edit(model=model(3))
    world.reconcile()

    assert plan(world).record.revision == world.status["stableRevision"]


def test_undo_of_an_invalid_spec_goes_to_the_stable_revision() -> None:
    world = make_world(1, 2)
    world.edit(model={"storageUri": "nowhere"})
    world.settle()
    undo = plan(world)
    carry_out(world, undo)
    world.settle()

    assert undo.record.number == 2
    assert world.condition("Ready")["status"] == "True"


def test_undo_twice_comes_back() -> None:
    world = make_world(1, 2)
    second = world.status["stableRevision"]
    for expected in ("ngh6zkzrdw", second):
        carry_out(world, plan(world))
        world.settle()
        assert world.status["stableRevision"] == expected


def test_undo_skips_a_revision_with_the_same_fields() -> None:
    """One that differs in its runtime alone is not brought back by writing the spec."""
    world = make_world(1)
    world.runtimes = [make_runtime("other"), make_runtime(default=True, image="registry.example/onnx:2")]
    for ref in ({"ref": "other"}, {}):
        world.edit(runtime=ref)
        world.settle()
    facts = facts_of(world)
    first, between, last = facts.records or ()

    assert first.snapshot.inputs == last.snapshot.inputs
    assert plan_undo(facts, None, OURS).record == between
    with pytest.raises(CommandError, match="no earlier revision"):
        plan_undo(facts_of(world, records=(first, last)), None, OURS)


def test_undo_writes_only_the_fields_of_a_revision() -> None:
    world = make_world(1, replicas=2)
    world.edit(
        model=model(2),
        replicas=5,
        batching={"maxBatchSize": 8},
        rollout={"maxSurge": 2},
        childMetadata=LABELS,
    )
    world.settle()
    before = copy.deepcopy(world.service["spec"])

    assert plan(world).spec == {
        field: value for field, value in {**before, "model": model(1)}.items() if field != "batching"
    }


LABELS = {"labels": {"team": "mail"}}


def test_undo_to_what_the_spec_asks_for_writes_nothing() -> None:
    world = make_world(1, 2)
    # Another spelling of the same.
    world.service["spec"]["resources"] = {"requests": {}}
    undo = plan(world, "2")

    assert undo.changes == []
    assert undo.spec == world.service["spec"]
    assert undo_report(undo, "T", dry_run=False) == "spam: the spec asks for T already; nothing is written"


def test_undo_says_that_the_runtime_stays() -> None:
    world = make_world(1)
    world.runtimes = [make_runtime("other"), make_runtime(default=True, image="registry.example/onnx:2")]
    world.edit(model=model(2), runtime={"ref": "other"})
    world.settle()
    world.edit(runtime={})
    world.settle()
    undo = plan(world, "1")

    assert undo.kept_image == "registry.example/onnx:2"
    assert "Its runtime was registry.example/onnx:1. The pods keep registry.example/onnx:2" in undo_report(
        undo, "T", dry_run=True
    )
    carry_out(world, undo)
    world.settle()
    assert world.status["runtime"]["image"] == "registry.example/onnx:2"


def after_an_abort() -> World:
    """Revision 1 served, 2 was aborted, 3 serves."""
    world = make_world(1)
    world.edit(model=model(2))
    world.reconcile()
    world.service["metadata"]["annotations"] = {ROLLOUT_ACTION: f"abort@{world.status['targetRevision']}"}
    world.settle()
    world.edit(model=model(3))
    world.settle()
    return world


def test_undo_without_a_name_skips_what_was_aborted() -> None:
    assert plan(after_an_abort()).record.number == 1


def test_undo_to_what_was_aborted_says_so() -> None:
    undo = plan(after_an_abort(), "2")

    assert undo_report(undo, "T", dry_run=False).endswith(
        "It was aborted, so it is not tried before 'modelservice rollout retry' asks for it."
    )


def test_undo_to_an_empty_name_is_refused() -> None:
    """As a script with a variable that is not set asks for it."""
    with pytest.raises(CommandError, match="no recorded revision ''"):
        plan(make_world(1, 2), "")


def test_undo_without_an_earlier_revision_is_refused() -> None:
    with pytest.raises(CommandError, match=r"no earlier revision .* has served$"):
        plan(make_world(1))


def test_undo_passes_over_revisions_that_never_served() -> None:
    world = make_world(1, 2)
    bad = spoil(world, 99)
    carry_out(world, plan(world))
    world.settle()
    assert world.status["servedRevisions"][-1] == world.status["stableRevision"]

    undo = plan(world)

    assert undo.record.revision != bad
    assert undo.record.model.endswith(":1")


def test_undo_after_a_fix_goes_to_what_served_before_the_fault() -> None:
    world = make_world(1)
    spoil(world, 99)
    world.edit(model=model(3))
    world.settle()

    assert plan(world).record.model.endswith(":1")


def test_undo_of_a_status_without_that_knowledge_goes_to_the_revision_before() -> None:
    world = make_world(1, 2)
    del world.service["status"]["servedRevisions"]

    assert plan(world).record.number == 1


def spoil(world: World, tag: int) -> str:
    """A change to a model that never becomes available."""
    world.edit(model=model(tag))
    bad = str(world.reconcile().target.name)
    world.broken.add(bad)
    world.settle()
    return bad


@pytest.mark.parametrize(
    ("manager", "tool"),
    [
        ("argocd-controller", "Argo CD"),
        ("argocd-application-controller", "Argo CD"),
        ("kustomize-controller", "Flux"),
        ("helm-controller", "Flux"),
        ("helm", "Helm"),
        ("kubectl-client-side-apply", None),
        ("kubectl", None),
        ("argocd-server", None),
        ("helmet", None),
    ],
)
def test_undo_knows_who_writes_the_spec(manager: str, tool: str | None) -> None:
    world = make_world(1, 2)
    managed(world, manager, "model")
    source = plan(world).source

    assert (source.tool if source else None) == tool


def test_undo_of_what_a_tool_does_not_manage_is_free() -> None:
    world = make_world(1, 2)
    managed(world, "argocd-controller", "replicas")
    managed(world, "argocd-controller", "model", subresource="status")

    assert plan(world).source is None


def test_undo_of_what_was_taken_from_a_tool_is_still_the_tools() -> None:
    world = make_world(1, 2)
    managed(world, "argocd-controller", "replicas")
    managed(world, OURS, "model", operation="Update")
    source = plan(world).source

    assert source is not None


def test_undo_says_what_to_change_and_where() -> None:
    world = make_world(1, 2)
    managed(world, "argocd-controller", "model")
    world.service["metadata"]["annotations"] = {
        "argocd.argoproj.io/tracking-id": "mail-models:modelservice.dev/ModelService:mail/spam"
    }

    assert refusal(plan(world)) == (
        "Argo CD (application mail-models) writes the spec of spam and would write it again, so "
        "nothing was changed. Change these fields where it has them from:\n"
        "spec.model.storageUri\n"
        "- oci://registry.example/models/spam:2\n"
        "+ oci://registry.example/models/spam:1\n"
        "With --force they are changed here now, and stay so until it writes the next time."
    )


EDITS = st.fixed_dictionaries(
    {"model": st.integers(1, 3).map(model)},
    optional={
        "batching": st.sampled_from([{"maxBatchSize": 8}, {"maxBatchSize": 8, "maxDelayMilliseconds": 0}]),
        "env": st.sampled_from([[], [{"name": "TZ", "value": "UTC"}]]),
        "podMetadata": st.sampled_from([{}, {"labels": {"a": "b"}}]),
        "resources": st.sampled_from([{"requests": {"cpu": "1000m"}}, {"requests": {"cpu": "1"}}]),
        "replicas": st.integers(0, 3),
    },
)


@settings(max_examples=25, deadline=None)
@given(st.lists(EDITS, min_size=1, max_size=4), EDITS, st.integers(0, 3))
def test_undo_to_any_recorded_revision_asks_for_exactly_that_one(
    earlier: list[dict[str, Any]], now: dict[str, Any], choice: int
) -> None:
    world = make_world(1)
    for spec in (*earlier, now):
        world.service["spec"] = {}
        world.edit(**spec)
        world.settle()
    records = facts_of(world).records or ()
    record = records[choice % len(records)]
    carry_out(world, plan(world, record.revision))
    world.settle()

    assert world.status["targetRevision"] == record.revision
    assert world.service["spec"].get("replicas") == now.get("replicas")
    assert plan(world, record.revision).changes == []
