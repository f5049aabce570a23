"""Alignments find which word translates which, whatever their order."""

import numpy as np
import pytest
from translator.alignment import align, join_embeddings

# Sources are the numbers 0 to 9, and the translation of n is 10 + n.
WORDS = 10
RANDOM = np.random.default_rng(4)


def make_pairs(count: int) -> list[tuple[list[int], list[int]]]:
    """Sentences of different words, whose translation is in another order by up to two places."""
    pairs = []
    for _ in range(count):
        source = RANDOM.permutation(WORDS)[: RANDOM.integers(1, 7)]
        order = np.argsort(np.arange(len(source)) + RANDOM.uniform(0, 2.5, len(source)))
        pairs.append((source.tolist(), (source[order] + WORDS).tolist()))
    return pairs


def test_align_words_in_another_order_finds_each_partner():
    pairs = make_pairs(200)
    alignment = align(pairs, 2 * WORDS)
    assert len(alignment.attention) == len(pairs)
    for (source, target), attention in zip(pairs, alignment.attention, strict=True):
        assert attention.shape == (len(target), len(source))
        assert [source[place] + WORDS for place in attention.argmax(1)] == target
        assert attention.sum(1) == pytest.approx(1, abs=1e-3)


def test_align_word_without_a_partner_teaches_less():
    """Word 19 is in every translation and in none of the sources."""
    pairs = [(source, [*target, 19]) for source, target in make_pairs(300) if 9 not in source]
    attention = align(pairs, 2 * WORDS).attention
    assert np.mean([rows[-1].sum() for rows in attention]) < 0.75
    assert np.mean([row.sum() for rows in attention for row in rows[:-1]]) > 0.95


def test_join_embeddings_translations_are_near_and_others_are_not():
    embeddings = join_embeddings(align(make_pairs(200), 2 * WORDS), 2 * WORDS, 64, seed=1)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)
    near = embeddings[:WORDS] @ embeddings[WORDS:].T
    assert near.argmax(1).tolist() == list(range(WORDS))
    assert near.diagonal().min() > 0.7
