import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.words import split_words

TEXTS = st.text(min_size=1, max_size=30).filter(lambda text: not text.isspace())


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("Call now, call NOW!", ("Call", "now", "call", "NOW")),
        ("don't_x 3.5", ("don", "t_x", "3", "5")),
        ("na na na batman", ("na", "batman")),
        ("für Größe", ("für", "Größe")),
        ("हिन्दी में", ("हिन्दी", "में")),
        ("免费 prize", ("免", "费", "prize")),
        ("🎉🎉 !", ("🎉", "!")),
    ],
)
def test_words_are_runs_of_letters_marks_and_digits(text: str, features: tuple[str, ...]) -> None:
    assert split_words(text).features == features


def test_equal_words_leave_together_or_each_for_itself() -> None:
    text = "na na, batman"
    assert split_words(text).without([False, True]) == " , batman"
    assert split_words(text, each=True).features == ("na", "na", "batman")
    assert split_words(text, each=True).without([False, True, True]) == " na, batman"


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_text_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(PipelineError, match="no words"):
        split_words(text)


@settings(max_examples=50)
@given(TEXTS, st.booleans())
def test_the_whole_text_comes_back_and_every_feature_can_leave(text: str, each: bool) -> None:
    words = split_words(text, each=each)
    count = len(words.features)
    masks = np.concatenate([np.ones((1, count), bool), ~np.eye(count, dtype=bool)])
    whole, *others = words.variants(masks)
    assert whole == text
    assert len({*others, whole}) > 1
    assert all(len(other) < len(text) for other in others)


@settings(max_examples=50)
@given(st.text("abz09_ .,!-'", min_size=1).filter(lambda text: re.search(r"\w", text)))
def test_ascii_is_split_as_regular_expressions_do(text: str) -> None:
    assert split_words(text, each=True).features == tuple(re.findall(r"\w+", text))
