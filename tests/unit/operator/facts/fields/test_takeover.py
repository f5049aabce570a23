"""Which fields of persons are handed to our field manager, and that nothing else moves."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.facts.fields.takeover import is_edited, plan_takeover
from modelservice_operator.facts.labels import MANAGER


def port_key(port: int) -> str:
    return f'k:{{"port":{port},"protocol":"TCP"}}'


def owned_ports(*ports: int) -> dict[str, Any]:
    fields = {port_key(port): {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}} for port in ports}
    return {"f:spec": {"f:ports": fields}}


def entry(manager: str, fields: dict[str, Any], *, operation: str = "Update", subresource: str = "") -> Any:
    found = {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields}
    return found | ({"subresource": subresource} if subresource else {})


def make_service(ports: dict[str, int], *managed: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "spam", "uid": "u", "resourceVersion": "7", "managedFields": list(managed)},
        "spec": {"ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()]},
    }


WANTED = make_service({"http": 80, "grpc": 9000})


def fields_by_manager(patch: dict[str, Any] | None) -> dict[tuple[str, str], Any]:
    assert patch is not None
    entries = patch["metadata"]["managedFields"]
    assert len({(one["manager"], one["operation"]) for one in entries}) == len(entries)
    return {(one["manager"], one["operation"]): one["fieldsV1"] for one in entries}


def test_plan_takeover_item_with_another_key_becomes_ours() -> None:
    live = make_service(
        {"http": 8080, "grpc": 9000},
        entry(MANAGER, owned_ports(9000), operation="Apply"),
        entry("kubectl-edit", owned_ports(8080)),
    )

    patch = plan_takeover(live, WANTED, everything=False)

    assert fields_by_manager(patch) == {(MANAGER, "Apply"): owned_ports(8080, 9000)}
    assert patch is not None
    assert (patch["metadata"]["uid"], patch["metadata"]["resourceVersion"]) == ("u", "7")


def test_plan_takeover_all_items_with_other_keys_become_ours_without_an_entry_of_ours() -> None:
    live = make_service({"http": 81, "grpc": 91}, entry("kubectl-edit", owned_ports(81, 91)))

    assert fields_by_manager(plan_takeover(live, WANTED, everything=False)) == {
        (MANAGER, "Apply"): owned_ports(81, 91)
    }


def test_plan_takeover_item_that_was_only_added_is_left_alone() -> None:
    live = make_service(
        {"http": 80, "grpc": 9000, "admin": 7000},
        entry(MANAGER, owned_ports(80, 9000), operation="Apply"),
        entry("kubectl-edit", owned_ports(7000)),
    )

    assert is_edited(live)
    assert plan_takeover(live, WANTED, everything=False) is None


@pytest.mark.parametrize(
    "owner",
    [
        {"operation": "Apply"},
        {"operation": "Update", "subresource": "status"},
        {"operation": "Update", "subresource": "scale"},
    ],
)
def test_plan_takeover_fields_of_appliers_and_of_subresources_stay_theirs(owner: dict[str, str]) -> None:
    live = make_service({"http": 8080, "grpc": 9000}, entry("mesh", owned_ports(8080), **owner))

    assert not is_edited(live)
    assert plan_takeover(live, WANTED, everything=True) is None


def test_plan_takeover_of_everything_takes_the_spec_and_leaves_metadata() -> None:
    annotated = {"f:metadata": {"f:annotations": {"f:team": {}}}, "f:spec": {"f:minAvailable": {}}}
    live = make_service({}, entry("kubectl-edit", annotated))

    assert fields_by_manager(plan_takeover(live, WANTED, everything=True)) == {
        ("kubectl-edit", "Update"): {"f:metadata": {"f:annotations": {"f:team": {}}}},
        (MANAGER, "Apply"): {"f:spec": {"f:minAvailable": {}}},
    }


def test_plan_takeover_finds_items_inside_of_items() -> None:
    def pod(port: int) -> dict[str, Any]:
        container = {"name": "server", "ports": [{"containerPort": port, "protocol": "TCP"}]}
        return {"template": {"spec": {"containers": [container]}}}

    key = 'k:{"containerPort":8081,"protocol":"TCP"}'
    server = {'k:{"name":"server"}': {"f:image": {}, "f:ports": {key: {".": {}, "f:containerPort": {}}}}}
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": server}}}}
    live = {**make_service({}, entry("kubectl-edit", fields)), "spec": pod(8081)}

    found = fields_by_manager(plan_takeover(live, {**WANTED, "spec": pod(8080)}, everything=False))

    taken = {'k:{"name":"server"}': {"f:ports": server['k:{"name":"server"}']["f:ports"]}}
    assert found[MANAGER, "Apply"]["f:spec"]["f:template"]["f:spec"]["f:containers"] == taken
    left = {'k:{"name":"server"}': {"f:image": {}}}
    assert found["kubectl-edit", "Update"]["f:spec"]["f:template"]["f:spec"]["f:containers"] == left


def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c"]), inner, max_size=3)


TREES = st.recursive(st.just({}), branches, max_leaves=8)


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not tree:
        return {path}
    return {leaf for name, inner in tree.items() for leaf in leaves(inner, (*path, name))}


@given(TREES, TREES, TREES)
def test_plan_takeover_loses_no_field_and_changes_nothing_that_it_reads(
    ours: Any, one: Any, two: Any
) -> None:
    live = make_service(
        {},
        entry(MANAGER, {"f:spec": ours}, operation="Apply"),
        entry("first", {"f:spec": one, "f:metadata": {}}),
        entry("second", {"f:spec": two}),
    )
    before = copy.deepcopy(live)

    found = fields_by_manager(plan_takeover(live, WANTED, everything=True))

    assert live == before
    assert set(found) == {(MANAGER, "Apply"), ("first", "Update")}
    kept = leaves(found[MANAGER, "Apply"]["f:spec"])
    for tree in (ours, one, two):
        for leaf in leaves(tree):
            assert any(other[: len(leaf)] == leaf for other in kept)
