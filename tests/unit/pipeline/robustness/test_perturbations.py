"""Perturbations change what they say they change, and nothing else."""

import unicodedata
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_pipeline.robustness.numbers import NUMBER_PERTURBATIONS, add_noise
from modelservice_pipeline.robustness.texts import TEXT_PERTURBATIONS

TEXTS = {one.name: one.change for one in TEXT_PERTURBATIONS}
NUMBERS = {one.name: one.change for one in NUMBER_PERTURBATIONS}
SENTENCE = "Élan: win 1000 prizes, call now — or lose it all!"


@given(st.sampled_from(sorted(TEXTS)), st.text(), st.integers(0, 9), st.floats(0.01, 1))
def test_any_text_is_changed_to_a_text_and_the_same_for_a_seed(name, text, seed, share):
    changed = TEXTS[name](text, Random(seed), share)
    assert isinstance(changed, str)
    assert changed == TEXTS[name](text, Random(seed), share)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_perturbation_changes_a_sentence(name):
    assert TEXTS[name](SENTENCE, Random(1), 0.1) != SENTENCE


def test_typos_touch_a_share_of_the_words():
    text = " ".join(["letters"] * 40)
    for seed in range(20):
        words = TEXTS["typos"](text, Random(seed), 0.25).split(" ")
        assert len(words) == 40
        changed = [word for word in words if word != "letters"]
        assert 5 <= len(changed) <= 10  # swapping two equal letters changes nothing
        assert all(abs(len(word) - 7) <= 1 for word in changed)


def test_lookalikes_are_of_other_scripts_and_invisible_ones_have_no_width():
    changed = TEXTS["homoglyphs"]("a peace", Random(0), 1.0)
    assert len(changed) == 7
    assert all("LATIN" not in unicodedata.name(letter) for letter in changed if letter != " ")
    hidden = TEXTS["zero-width"]("ab cd", Random(0), 0.5)
    assert [letter for letter in hidden if unicodedata.category(letter) != "Cf"] == list("ab cd")
    assert len(hidden) > 5


def test_other_perturbations_keep_what_they_do_not_name():
    assert TEXTS["whitespace"]("a b c", Random(0), 1).split() == ["a", "b", "c"]
    digits = TEXTS["digits"]("call 0800 now", Random(0), 1)
    assert digits.startswith("call ")
    assert all(one.isdigit() and one != old for one, old in zip(digits[5:9], "0800", strict=True))
    assert TEXTS["accents"]("Élan ñu", Random(0), 1) == "Elan nu"
    assert TEXTS["punctuation"]("a, b! «c»", Random(0), 1) == "a b c"
    assert TEXTS["truncation"]("one two three", Random(0), 1) == "one two"


def test_noise_has_the_share_of_each_columns_deviation():
    generator = np.random.default_rng(0)
    rows = generator.normal([0, 100], [1, 50], (4000, 2)).astype(np.float32)
    moved = add_noise(rows, np.random.default_rng(1), 0.1) - rows
    assert moved.std(axis=0).tolist() == pytest.approx([0.1, 5.0], rel=0.1)
    pictures = generator.integers(0, 256, (10, 8, 8)).astype(np.uint8)
    noisy = add_noise(pictures, np.random.default_rng(1), 0.5)
    assert noisy.dtype == np.uint8
    assert np.abs(noisy.astype(int) - pictures).max() < 200  # clipped, not wrapped around


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8"])
@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_edges_change_one_place_of_a_row_and_keep_its_type(name, dtype):
    rows = (np.arange(60).reshape(10, 2, 3) + 3).astype(dtype)
    changed = NUMBERS[name](rows, np.random.default_rng(0), 0.1)
    if changed is None:
        assert dtype in ("int64", "uint8")
        return
    assert changed.dtype == rows.dtype
    assert changed.shape == rows.shape
    if name != "noise":
        assert ((changed != rows).reshape(10, -1).sum(axis=1) <= 1).all()
    assert np.array_equal(rows, (np.arange(60).reshape(10, 2, 3) + 3).astype(dtype))


def test_edges_are_those_of_the_type():
    rows = np.ones((3, 1), np.float32)
    assert NUMBERS["largest"](rows, np.random.default_rng(0), 0).max() == np.finfo(np.float32).max
    assert np.isnan(NUMBERS["nan"](rows, np.random.default_rng(0), 0)).all()
    assert NUMBERS["smallest"](rows.astype(np.int8), np.random.default_rng(0), 0).min() == -128
    assert NUMBERS["nan"](rows.astype(np.int8), np.random.default_rng(0), 0) is None
