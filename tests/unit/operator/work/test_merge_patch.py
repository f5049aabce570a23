"""The merge patch of a status leads from one document to the other, and is empty where they are equal."""

from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.work.merge_patch import merge_patch

# A status holds no nulls: a merge patch could not write one.
SCALARS = st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def apply_patch(target, patch):
    """RFC 7386, section 2, as written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_patch(result.get(name), value)
    return result


@given(DOCUMENTS, DOCUMENTS)
def test_merge_patch_of_any_two_documents_leads_from_one_to_the_other(old, new):
    assert apply_patch(old, merge_patch(old, new)) == new


@given(DOCUMENTS)
def test_merge_patch_of_equal_documents_is_empty(document):
    assert merge_patch(document, document) == {}


def test_merge_patch_takes_tuple_and_list_as_equal():
    assert merge_patch({"conditions": [{"type": "Ready"}]}, {"conditions": ({"type": "Ready"},)}) == {}


def test_merge_patch_removes_what_is_stale_or_forged():
    assert merge_patch({"forged": 1, "model": {"sha256": "a"}}, {"model": {}}) == {
        "forged": None,
        "model": {"sha256": None},
    }
