"""What an audit log tells of rights."""

from typing import Any

import pytest
from tests.support.rights_audit import Right, by_account, granted, missed, unused, used

RULES = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"], "resourceNames": ["a", "b"]},
]


def make_event(
    verb: str, resource: str, *, name: str = "a", subresource: str = "", code: int = 200, **more: Any
) -> dict[str, Any]:
    group = {"deployments": {"apiGroup": "apps"}}.get(resource, {})
    part = {"subresource": subresource} if subresource else {}
    return {
        "verb": verb,
        "requestURI": f"/{resource}?x=1",
        "user": {"username": "system:serviceaccount:ns:operator"},
        "objectRef": {"resource": resource, "name": name, **group, **part},
        "responseStatus": {"code": code},
        **more,
    }


def test_granted_names_each_verb_and_each_object():
    assert granted(RULES) == {
        Right("apps", "deployments", "create"),
        Right("apps", "deployments", "patch"),
        Right("", "pods/log", "get", "a"),
        Right("", "pods/log", "get", "b"),
    }


@pytest.mark.parametrize(
    ("code", "left"), [(200, {"create deployments.apps"}), (201, set())], ids=["there", "absent"]
)
def test_unused_apply_counts_as_create_only_where_it_makes_the_object(code, left):
    events = [make_event("patch", "deployments", code=code)]
    assert {str(one) for one in unused(RULES[:1], events)} == left


def test_unused_right_to_one_object_is_not_used_on_another():
    events = [make_event("get", "pods", name="a", subresource="log")]
    assert unused(RULES[1:], events) == {Right("", "pods/log", "get", "b")}


def test_unused_subresource_is_not_used_by_its_resource():
    assert unused(RULES[1:], [make_event("get", "pods")]) == granted(RULES[1:])


def test_forbidden_request_is_missed_and_uses_nothing():
    decision = {"authorization.k8s.io/decision": "forbid"}
    event = make_event("list", "secrets", name="", code=403, annotations=decision)
    assert missed([event]) == ["ns/operator may not list secrets (/secrets)"]
    assert used([event]) == set()


def test_refusal_of_admission_is_no_missed_right():
    event = make_event("create", "pods", code=403, annotations={"authorization.k8s.io/decision": "allow"})
    assert missed([event]) == []


def test_by_account_tells_namespaces_apart():
    event = make_event("get", "pods")
    assert by_account([event], [("ns", "operator")]) == [event]
    assert by_account([event], [("other", "operator"), ("ns", "other")]) == []
