from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.facts.fields.differences import differences


def pod(**server: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "server", "image": "a:1", **server}], "replicas": 1}}


@pytest.mark.parametrize(
    ("found", "fields"),
    [
        (pod(), ()),
        (pod(image="mirror/a:1"), ("spec.containers[server].image",)),
        (pod(args=["x"]), ("spec.containers[server].args",)),
        ({"spec": {"replicas": 2}}, ("spec.containers", "spec.replicas")),
        (
            {"spec": {"containers": [{"name": "other", "image": "a:1"}], "replicas": 1}},
            ("spec.containers[other]", "spec.containers[server]"),
        ),
    ],
)
def test_differences_names_the_fields(found: dict[str, Any], fields: tuple[str, ...]) -> None:
    assert differences(pod(), found) == fields


def test_differences_items_without_a_key_are_told_by_place() -> None:
    left, right = ({"to": [{"a": 1}, {"b": value}]} for value in (1, 2))

    assert differences(left, right) == ("to[1].b",)


JSON = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "b"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["a", "b"]), JSON), st.dictionaries(st.sampled_from(["a", "b"]), JSON))
def test_differences_are_none_exactly_where_both_are_equal(left: Any, right: Any) -> None:
    assert differences(left, copy.deepcopy(left)) == ()
    assert bool(differences(left, right)) is (left != right)
