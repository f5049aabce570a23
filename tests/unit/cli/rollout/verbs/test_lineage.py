from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.cli.rollout.worlds import facts_of, make_world
from tests.unit.operator.builders import NOW, make_model_service, model, timestamp

from modelservice_cli.rollout.facts import Facts, Record
from modelservice_cli.rollout.report import as_text
from modelservice_cli.rollout.verbs.history import diff_report, history_json, history_report
from modelservice_cli.rollout.verbs.lineage import predecessor
from modelservice_operator.decide.revision import RecordedRuntime, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def at(minutes: float) -> str:
    return timestamp(NOW + timedelta(minutes=minutes))


def record(revision: str, number: int, minutes: float) -> Record:
    snapshot = Snapshot(
        inputs={"model": model(revision)}, runtime=RecordedRuntime(name="onnx", image="onnx:1"), template={}
    )
    return Record(revision=revision, number=number, created_at=at(minutes), snapshot=snapshot)


def look(
    records: Mapping[str, float],
    served: Sequence[str] | None,
    *,
    target: str | None = None,
    outcomes: Mapping[str, tuple[str, float]] | None = None,
    **status: Any,
) -> Facts:
    """Records by the minute they were made, in the order of their numbers; the last one served is stable."""
    known = {
        "stableRevision": served[-1] if served else None,
        "targetRevision": target or (served[-1] if served else None),
        "servedRevisions": None if served is None else list(served),
        "outcomes": [
            {"revision": name, "outcome": outcome, "time": at(minutes)}
            for name, (outcome, minutes) in (outcomes or {}).items()
        ],
        **status,
    }
    return Facts(
        service=make_model_service(
            status={name: value for name, value in known.items() if value is not None}
        ),
        records=tuple(
            record(name, number, minutes) for number, (name, minutes) in enumerate(records.items(), 1)
        ),
    )


# Each undo gives the revision that comes back the newest number; its record keeps the time it was made.
STRAIGHT = look({"a": 0, "b": 1, "c": 2}, ["a", "b", "c"])
UNDONE = look({"b": 1, "a": 0}, ["b", "a"])
ON_FROM_THERE = look({"b": 1, "a": 0, "c": 2}, ["b", "a", "c"])
TWICE_UNDONE = look(
    {"b": 1, "c": 5, "a": 0},
    ["b", "c", "a"],
    outcomes={"a": ("Stable", 9), "b": ("Replaced", 4), "c": ("Replaced", 9)},
)
NEVER_SERVED = look({"a": 0, "bad": 1, "c": 2}, ["a", "c"], outcomes={"bad": ("Superseded", 2)})
ABORTED = look({"a": 0, "bad": 1}, ["a"], target="bad", abortedRevisions=["bad"])
IN_THE_MIDDLE = look({"a": 0, "b": 1, "c": 2}, ["a", "b"], target="c")
COMING_BACK = look({"b": 1, "c": 2, "a": 0}, ["a", "b", "c"], target="a")
OLDER_OPERATOR = look({"a": 0, "b": 1, "c": 2}, None)
SAME_SECOND = look({"a": 0, "b": 0}, ["a", "b"], outcomes={"a": ("Replaced", 0)})


@pytest.mark.parametrize(
    ("facts", "revision", "expected"),
    [
        (STRAIGHT, "a", None),
        (STRAIGHT, "b", "a"),
        (STRAIGHT, "c", "b"),
        (UNDONE, "a", "b"),
        (UNDONE, "b", "a"),
        (ON_FROM_THERE, "c", "a"),
        (ON_FROM_THERE, "b", "a"),
        (TWICE_UNDONE, "a", "c"),
        (TWICE_UNDONE, "c", "a"),
        (TWICE_UNDONE, "b", "a"),
        (NEVER_SERVED, "c", "a"),
        (NEVER_SERVED, "bad", "a"),
        (ABORTED, "bad", "a"),
        (IN_THE_MIDDLE, "c", "b"),
        (COMING_BACK, "a", "c"),
        (OLDER_OPERATOR, "c", "b"),
        (OLDER_OPERATOR, "a", None),
        (SAME_SECOND, "b", "a"),
    ],
)
def test_predecessor_is_what_served_before(facts: Facts, revision: str, expected: str | None) -> None:
    one = facts.record(revision)
    assert one is not None
    found = predecessor(facts, one)

    assert (found.revision if found else None) == expected


def test_history_after_an_undo_compares_with_what_served_before() -> None:
    """The third change is made from the first revision again, and changes nothing but the environment."""
    world = make_world(1, 2)
    first, second = (one.revision for one in facts_of(world).records or ())
    for spec in ({"model": model(1)}, {"env": [{"name": "TZ", "value": "UTC"}]}):
        world.wait(60)
        world.edit(**spec)
        world.settle()
    found = {one["revision"]: one for one in history_json(facts_of(world))}
    newest = found[world.status["stableRevision"]]

    assert (newest["comparedWith"], newest["changed"]) == (first, ["spec.env"])
    # It stands first in the history now, and is no less made from the first revision.
    assert found[second]["changed"] == ["spec.model.storageUri"]
    assert diff_report(facts_of(world), []).splitlines()[0].startswith(f"--- {first} ")


def test_history_says_what_became_of_revisions() -> None:
    facts = look({"a": 0, "b": 1, "c": 2}, ["a", "c"])
    facts.status["outcomes"][:] = [
        {"revision": "a", "outcome": "Replaced", "time": at(3)},
        {"revision": "b", "outcome": "Aborted", "reason": "AnalysisFailed", "message": "p99.", "time": at(2)},
    ]
    lines = as_text(history_report(facts)).splitlines()

    assert [line.partition("onnx:1  ")[2].split(maxsplit=2) for line in lines[1:]] == [
        ["Replaced", at(3), "-"],
        ["Aborted", at(2), "AnalysisFailed: p99."],
        ["-", "-", "-"],
    ]
    assert history_json(facts)[1]["outcome"] == facts.status["outcomes"][1]
    assert history_json(facts)[2]["outcome"] is None


TENSORS = {
    "inputs": [
        {"name": "text", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "k", "datatype": "INT64", "optional": True},
    ],
    "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
}
SERVED = [
    'input "text" BYTES [-1, 1]',
    'input "k" INT64 of any shape, optional',
    'output "label" INT64 [-1]',
]
BROKEN = {"gate": "Contract", "result": "Failed", "time": at(0), "message": 'output "label": is FP32'}


@pytest.mark.parametrize(
    ("status", "revisions", "lines"),
    [
        ({}, ["a", "b"], None),
        ({"model": {"sizeBytes": 3}}, ["a", "b"], None),
        (
            {"model": TENSORS, "rollout": {"revision": "b", "contract": "Failed", "verdicts": [BROKEN]}},
            [],
            [*(f"- {one}" for one in SERVED), '+ Failed: output "label": is FP32'],
        ),
        (
            {"model": TENSORS, "rollout": {"revision": "b", "contract": "Passed"}},
            ["b", "a"],
            ["- Passed", *(f"+ {one}" for one in SERVED)],
        ),
        ({"model": TENSORS}, [], [*(f"- {one}" for one in SERVED), "+ not known"]),
        ({"rollout": {"revision": "other", "contract": "Passed"}}, ["a", "b"], None),
    ],
)
def test_diff_shows_the_contract_where_it_is_known(
    status: dict[str, Any], revisions: list[str], lines: list[str] | None
) -> None:
    shown = diff_report(look({"a": 0, "b": 1}, ["a"], target="b", **status), revisions).splitlines()

    if lines is None:
        assert "contract" not in shown
    else:
        assert shown[shown.index("contract") + 1 :] == lines
