"""Cards keep what is in them, whatever it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.package.front_matter import join_card, split_card

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(min_size=1, max_size=10), _VALUES, min_size=1, max_size=5), st.text(max_size=50)
)
def test_split_card_reads_what_join_card_wrote(metadata: dict[str, object], body: str) -> None:
    assert split_card(join_card(metadata, body))[0] == metadata


@pytest.mark.parametrize("text", ["", "# Title\n", "text\n---\na: 1\n---\n", "---\nonly one"])
def test_split_card_without_metadata_keeps_the_text(text: str) -> None:
    assert split_card(text) == ({}, text)


def test_split_card_of_windows_with_a_mark() -> None:
    assert split_card("\ufeff---\r\nlicense: mit\r\n---\r\n\r\n# T\r\n") == ({"license": "mit"}, "# T\r\n")


@pytest.mark.parametrize(
    "text", ["---\n- 1\n---\n", "---\na: [\n---\n", "---\n!!python/object:os.system {}\n---\n"]
)
def test_split_card_with_other_metadata_is_refused(text: str) -> None:
    with pytest.raises(PipelineError, match="head of the card"):
        split_card(text)
