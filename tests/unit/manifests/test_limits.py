"""Policies of limits and defaults are there where they are asked for, for the namespaces of the release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tests.support.chart import Loader
from tests.support.release import Release

if TYPE_CHECKING:
    from collections.abc import Iterator

CRD = Path(__file__).parents[3] / "crds/modelservices.yaml"

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


def addresses(schema: dict[str, Any], path: str = "spec") -> Iterator[str]:
    """Fields of ModelServices that name where something is fetched from."""
    for name, field in schema.get("properties", {}).items():
        if name == "storageUri":
            yield f"{path}.{name}"
        yield from addresses(field.get("items", field), f"{path}.{name}")


def test_every_address_is_held_to_the_sources_of_a_namespace() -> None:
    definition = yaml.load(CRD.read_text(encoding="utf-8"), Loader)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = list(addresses(schema["properties"]["spec"]))
    assert len(fields) >= 3
    (limits, *_) = policies(tenancy__policies__enabled=True)
    messages = [one["messageExpression"] for one in limits["spec"]["validations"]]
    for field in fields:
        assert any(one.startswith(f"'{field}: ") and "allowed-sources" in one for one in messages), field


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
