"""Whose an object is: everything that is written or deleted hangs on it."""

import pytest

from modelservice_operator.facts import labels
from modelservice_operator.facts.fields.canonical import fingerprint
from modelservice_operator.facts.observed import Child
from modelservice_operator.facts.ownership import is_ours, is_owned

LABELS = {labels.MANAGED_BY: labels.MANAGER, labels.NAME: "spam"}


def make_child(**changes: object) -> Child:
    """An orphan that was ours, with changes."""
    facts = {
        "kind": "Service",
        "namespace": "team",
        "name": "spam",
        "uid": "child",
        "resource_version": "1",
        "owner_uid": None,
        "owner_name": None,
        "deleting": False,
        "created_at": "2026-01-01T00:00:00Z",
        "labels": LABELS,
        "fingerprint": fingerprint({"spec": {"type": "ClusterIP"}}),
    }
    return Child(**facts | changes)


def test_orphan_that_we_made_for_this_service_is_ours_and_not_owned() -> None:
    assert is_ours(make_child(), "spam", "uid")
    assert not is_owned(make_child(), "uid")


def test_owned_child_is_ours_whatever_else_was_taken_from_it() -> None:
    child = make_child(owner_uid="uid", labels={}, fingerprint=fingerprint({}))
    assert is_owned(child, "uid")
    assert is_ours(child, "spam", "uid")


@pytest.mark.parametrize(
    "changes",
    [
        {"owner_uid": "another", "owner_name": "spam"},
        {"labels": {}},
        {"labels": {**LABELS, labels.NAME: "ham"}},
        {"labels": {**LABELS, labels.MANAGED_BY: "helm"}},
        {"fingerprint": fingerprint({})},
    ],
    ids=["of-an-earlier-one", "no-labels", "of-another-service", "of-another-manager", "labels-alone"],
)
def test_child_of_somebody_else_is_not_ours(changes: dict[str, object]) -> None:
    assert not is_ours(make_child(**changes), "spam", "uid")
