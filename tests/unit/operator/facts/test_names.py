import re

from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.facts import names

JSON = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=5)


@given(JSON)
def test_revision_name_any_content_is_a_safe_label(content: dict[str, object]) -> None:
    name = names.revision_name(content)

    assert re.fullmatch("[bcdfghjklmnpqrstvwxz][bcdfghjklmnpqrstvwxz2456789]{9}", name)


def test_revision_name_known_content_never_changes() -> None:
    assert names.revision_name({"inputs": {"model": {"storageUri": "oci://r/m:1"}}}) == "ccxt7h8dxk"


def test_revision_name_order_of_keys_says_nothing() -> None:
    assert names.revision_name({"a": 1, "b": 2}) == names.revision_name({"b": 2, "a": 1})


@given(JSON, st.from_regex("[a-z]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True))
def test_revision_in_name_of_revision_round_trips(content: dict[str, object], service: str) -> None:
    revision = names.revision_name(content)
    child = names.of_revision(service, revision)

    assert len(child) <= 63
    assert names.revision_in(service, child) == revision


def test_revision_in_other_names_none() -> None:
    assert names.revision_in("spam", "spam") is None
    assert names.revision_in("spam", names.service_account("spam")) is None
    assert names.revision_in("spam", "ham-bcdfghjklm") is None
    assert names.revision_in("spam", "spam-bcdfghjkla") is None


def test_revision_in_slice_of_the_activator_none() -> None:
    assert names.revision_in("spam", names.standby_slice("spam")) is None
