"""Policies of limits and defaults are there where they are asked for, for the namespaces of the release."""

from __future__ import annotations

from typing import Any

from tests.support.release import Release

KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
FILLING = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")


def policies(**values: Any) -> list[dict[str, Any]]:
    return list(Release.render("system", crds__install=False, **values).of_kinds(*KINDS))


def test_limits_are_off_by_default() -> None:
    assert policies() == []


def test_limits_hold_everywhere_and_never_at_deletion() -> None:
    made = policies(tenancy__policies__enabled=True)
    rules = [
        rule
        for one in made
        if one["kind"] == KINDS[0]
        for rule in one["spec"]["matchConstraints"]["resourceRules"]
    ]
    assert [rule["resources"] for rule in rules] == [["modelservices"], ["modelservices/scale"]]
    assert {tuple(rule["operations"]) for rule in rules} == {("CREATE", "UPDATE")}
    bindings = [one["spec"] for one in made if one["kind"] == KINDS[1]]
    assert {one["policyName"] for one in bindings} == {
        one["metadata"]["name"] for one in made if one["kind"] == KINDS[0]
    }
    assert all(one["validationActions"] == ["Deny"] and "matchResources" not in one for one in bindings)


def test_limits_of_a_release_for_some_namespaces_hold_there_alone() -> None:
    made = policies(tenancy__policies__enabled=True, operator__watchNamespaces=["mail", "shop"])
    for one in made:
        if one["kind"] == KINDS[1]:
            (term,) = one["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
            assert (term["key"], term["values"]) == ("kubernetes.io/metadata.name", ["mail", "shop"])


def test_defaults_of_namespaces_are_off_by_default_and_belong_to_the_namespaces_of_the_release() -> None:
    assert list(Release.render("system", crds__install=False).of_kinds(*FILLING)) == []
    values = {"tenancy__namespaceDefaults__enabled": True, "operator__watchNamespaces": ["mail"]}
    policy, binding = Release.render("system", crds__install=False, **values).of_kinds(*FILLING)
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    (term,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert (term["key"], term["values"]) == ("kubernetes.io/metadata.name", ["mail"])
