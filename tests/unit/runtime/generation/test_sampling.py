"""Tokens are chosen as the definitions say, whatever the other rows of the step do."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from modelservice_runtime.errors import InferenceFailedError, InvalidRequestError
from modelservice_runtime.generation.sampling.choosing import Choice, choose
from modelservice_runtime.generation.sampling.narrowing import highest, narrow
from modelservice_runtime.generation.sampling.row import SamplingRow, check_tokens
from modelservice_runtime.generation.values import GenerationRequest, Sampling

VOCABULARY = 300  # more than a few blocks, and no multiple of one
GREEDY = Sampling(temperature=0)


def made_up(seed: int, spread: float, step: float) -> NDArray[np.float32]:
    """Numbers with equals among them where `step` is coarse."""
    numbers = np.random.default_rng(seed).normal(0, spread, VOCABULARY)
    return (np.round(numbers / step) * step).astype(np.float32)


LOGITS = st.builds(
    made_up, st.integers(0, 999), st.sampled_from([0.1, 2, 8]), st.sampled_from([1e-6, 0.5, 4])
)


def make_row(sampling: Sampling = GREEDY, prompt: tuple[int, ...] = (), **fields: object) -> SamplingRow:
    ends = fields.pop("end_tokens", frozenset())
    return SamplingRow(GenerationRequest(prompt, 99, sampling, **fields), VOCABULARY, ends)  # type: ignore[arg-type]


def choose_one(logits: NDArray[np.float32], row: SamplingRow) -> Choice:
    return choose(logits[None].copy(), [row])[0]


def logits_of(values: Mapping[int, float], rest: float = -10.0) -> NDArray[np.float32]:
    logits = np.full(VOCABULARY, rest, np.float32)
    logits[list(values)] = list(values.values())
    return logits


# Narrowing, against a plain sort of everything.


def kept_by_sort(scores: NDArray[np.float32], sampling: Sampling) -> tuple[set[int], set[int]]:
    """What must be kept, and what may be: sums are not rounded alike everywhere."""
    probabilities = np.exp(scores.astype(np.float64))
    best = probabilities.max()
    kept = [i for i in range(len(scores)) if probabilities[i] >= sampling.min_p * best * (1 - 1e-6)]
    if sampling.top_k:
        last = sorted(scores[kept], reverse=True)[: sampling.top_k][-1]
        kept = [i for i in kept if scores[i] >= last]
    kept.sort(key=lambda i: (-scores[i], i))
    sums = np.cumsum([0, *probabilities[kept]])
    share = sums[:-1] / sums[-1]
    must = {token for token, above in zip(kept, share, strict=True) if above < sampling.top_p - 1e-5}
    may = {token for token, above in zip(kept, share, strict=True) if above < sampling.top_p + 1e-5}
    return must | {kept[0]}, may | {kept[0]}


@given(
    LOGITS,
    st.sampled_from([0, 1, 2, 7, 65, VOCABULARY, 1000]),
    st.sampled_from([0.0, 1e-3, 0.4, 1.0]),
    st.one_of(st.sampled_from([0.0, 1.0]), st.floats(1e-3, 1)),
)
def test_narrow_keeps_what_a_sort_of_everything_keeps(
    logits: NDArray[np.float32], top_k: int, min_p: float, top_p: float
) -> None:
    sampling = Sampling(top_k=top_k, min_p=min_p, top_p=top_p)
    scores = logits - logits.max()

    tokens, weights = narrow(scores, sampling)

    kept = set(range(VOCABULARY)) if tokens is None else set(tokens.tolist())
    must, may = kept_by_sort(scores, sampling)
    order = np.arange(VOCABULARY) if tokens is None else tokens
    np.testing.assert_allclose(weights, np.exp(scores[order]), rtol=1e-6)
    # Of equals that sum up to the share, a rounding may take one more or one less.
    assert len(must - kept) <= (1 if top_p < 1 else 0)
    assert len(kept - may) <= (1 if top_p < 1 else 0)


def test_narrow_of_equals_takes_the_first_that_have_the_share() -> None:
    tokens, _weights = narrow(np.zeros(VOCABULARY, np.float32), Sampling(top_p=0.25))

    assert tokens is not None
    assert tokens.tolist() == list(range(75))


@pytest.mark.parametrize("size", [1, 64, 100, 5000])
@pytest.mark.parametrize("count", [1, 5, 64, 5000])
def test_highest_gives_the_highest_of_any_size(size: int, count: int) -> None:
    values = np.random.default_rng(size).permutation(size).astype(np.float32)

    assert sorted(values[highest(values, count)]) == sorted(values)[-count:]


# Penalties, biases and bans.


@given(LOGITS, st.data())
def test_choose_penalizes_by_the_definitions(logits: NDArray[np.float32], data: st.DataObject) -> None:
    tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=40)
    prompt, generated = data.draw(tokens), data.draw(tokens)
    sampling = Sampling(
        temperature=0,
        presence_penalty=data.draw(st.floats(-2, 2)),
        frequency_penalty=data.draw(st.floats(-2, 2)),
        repetition_penalty=data.draw(st.floats(0.5, 2)),
        logit_bias=data.draw(
            st.dictionaries(st.integers(0, VOCABULARY - 1), st.floats(-100, 100), max_size=5)
        ),
    )
    row = make_row(sampling, tuple(prompt))
    for token in generated:
        row.accept(token)
    adjusted = logits.copy()

    row.adjust(adjusted)

    expected = []
    for token, logit in enumerate(logits.astype(np.float64)):
        value = float(logit) + sampling.logit_bias.get(token, 0.0)
        if token in {*prompt, *generated}:
            value = value / sampling.repetition_penalty if value > 0 else value * sampling.repetition_penalty
        count = generated.count(token)
        expected.append(value - count * sampling.frequency_penalty - (count > 0) * sampling.presence_penalty)
    np.testing.assert_allclose(adjusted, expected, rtol=1e-4, atol=1e-4)


def test_frequency_penalty_counts_what_choose_chose() -> None:
    row = make_row(Sampling(temperature=0, frequency_penalty=1.0))

    chosen = [choose_one(logits_of({7: 2.5, 9: 1.0}), row).token for _ in range(6)]

    # 2.5, 1.5, (0.5) 1.0, 0.5, (-0.5) 0.0 | the token 7 leads again at equal numbers of occurrences.
    assert chosen == [7, 7, 9, 7, 9, 7]


@pytest.mark.parametrize(("minimum", "expected"), [(0, [5, 5, 5]), (2, [8, 8, 5])])
def test_end_tokens_wait_for_min_tokens(minimum: int, expected: list[int]) -> None:
    row = make_row(min_tokens=minimum, end_tokens=frozenset({5}), stop_ids=frozenset({6}))

    assert [choose_one(logits_of({5: 3, 6: 2, 8: 1}), row).token for _ in range(3)] == expected


@pytest.mark.parametrize("token", [-1, VOCABULARY])
def test_tokens_beyond_the_vocabulary_are_refused(token: int) -> None:
    with pytest.raises(
        InvalidRequestError, match=f"logit_bias names token {token}, expected 0 to 299"
    ) as bias:
        make_row(Sampling(logit_bias={token: 1.0}))
    with pytest.raises(InvalidRequestError, match="prompt names token") as prompt:
        check_tokens((1, token), VOCABULARY, "prompt")
    assert (bias.value.param, prompt.value.param) == ("logit_bias", "prompt")


# Company.


@given(st.integers(0, 2**32), st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 5))
def test_row_chooses_the_same_in_any_company(seed: int, kinds: list[int], mine: int) -> None:
    samplings = [
        GREEDY,
        Sampling(seed=seed),
        Sampling(seed=seed, top_p=0.8, logprobs=3),
        Sampling(seed=seed, top_k=20, temperature=2.5),
        Sampling(seed=seed, min_p=0.02, repetition_penalty=1.3),
        Sampling(frequency_penalty=0.5, logit_bias={3: 5.0}),
    ]
    steps = np.random.default_rng(seed).normal(0, 3, (4, VOCABULARY)).astype(np.float32)
    alone = make_row(samplings[mine] if mine != 5 else Sampling(seed=1))
    row = make_row(samplings[mine] if mine != 5 else Sampling(seed=1))
    neighbours = [make_row(samplings[kind]) for kind in kinds]

    texts = []
    for number, step in enumerate(steps):
        place = number % (len(neighbours) + 1)
        rows = [*neighbours[:place], row, *neighbours[place:]]
        others = np.random.default_rng(number).normal(0, 9, (len(rows), VOCABULARY)).astype(np.float32)
        others[place] = step
        texts.append(choose(others, rows)[place])

    assert texts == [choose_one(step, alone) for step in steps]


def test_seeds_are_texts_of_their_own() -> None:
    logits = np.zeros(VOCABULARY, np.float32)

    def text(seed: int) -> list[int]:
        row = make_row(Sampling(seed=seed))
        return [choose_one(logits, row).token for _ in range(8)]

    assert text(7) == text(7)
    assert len({tuple(text(seed)) for seed in (-1, 0, 1, 2, 2**63, -(2**63))}) == 5  # the last two are one


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(seed=3),
        Sampling(seed=3, temperature=0.5),
        Sampling(seed=3, top_k=3),
        Sampling(seed=3, top_p=0.8),
        Sampling(seed=3, min_p=0.2),
    ],
)
def test_tokens_come_as_often_as_their_probability_says(sampling: Sampling) -> None:
    logits = logits_of({1: 2.0, 2: 1.5, 3: 1.0, 150: 0.5, 299: 0.0}, rest=-np.inf)
    row, draws = make_row(sampling), 3_000

    counted = Counter(choose_one(logits, row).token for _ in range(draws))

    scores = (logits - logits.max()) / np.float32(sampling.temperature)
    must, _may = kept_by_sort(scores, sampling)
    total = sum(np.exp(scores[list(must)]))
    assert set(counted) == {token for token in must if scores[token] > -np.inf}
    squares = sum(
        (counted[token] - draws * np.exp(scores[token]) / total) ** 2
        / (draws * np.exp(scores[token]) / total)
        for token in counted
    )
    assert squares < 18.5  # of chi square with four degrees of freedom, a thousandth lies beyond


def test_temperature_zero_takes_the_first_of_the_best() -> None:
    for temperature in (0.0, 1e-9):
        row = make_row(Sampling(temperature=temperature, top_k=50, top_p=0.9))
        assert choose_one(logits_of({9: 4, 4: 4, 200: 3.99}), row).token == 4


@pytest.mark.parametrize("temperature", [1e-4, 1e30])
def test_extreme_temperatures_are_no_error(temperature: float) -> None:
    row = make_row(Sampling(temperature=temperature, seed=1, top_p=0.999))

    assert 0 <= choose_one(logits_of({9: 3e38, 4: -3e38}), row).token < VOCABULARY


# Logarithms of probabilities.


def test_logprobs_are_those_before_anything_narrowed_the_choice() -> None:
    sampling = Sampling(temperature=0, top_k=1, logit_bias={5: 100.0}, logprobs=2)
    logits = logits_of({5: 1.0, 6: 3.0, 8: 3.0, 7: 2.0})

    choice = choose_one(logits, make_row(sampling))

    exact = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum())
    assert choice.logprob is not None
    assert choice.token == choice.logprob.token == 5
    assert choice.logprob.logprob == pytest.approx(exact[5], abs=1e-5)
    assert [token for token, _ in choice.logprob.alternatives] == [6, 8]
    assert choice.logprob.alternatives[0][1] == pytest.approx(exact[6], abs=1e-5)


def test_logprob_of_what_cannot_be_is_a_number_for_json() -> None:
    logits = logits_of({5: 1.0}, rest=-np.inf)

    choice = choose_one(logits, make_row(Sampling(temperature=0, logprobs=2)))

    assert choice.logprob is not None
    assert choice.logprob.alternatives == ((5, 0.0), (0, -9999.0))


# What goes wrong with one row.


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=1, top_p=0.5, logprobs=5)])
def test_numbers_that_are_none_are_the_rows_own_error(number: float, sampling: Sampling) -> None:
    logits = np.stack([logits_of({3: 1.0}), logits_of({3: 1.0}), logits_of({4: 1.0})])
    logits[1, 250] = number

    first, second, third = choose(logits, [make_row(), make_row(sampling), make_row()])

    assert (first.token, third.token) == (3, 4)
    assert first.error is third.error is None
    assert isinstance(second.error, InferenceFailedError)


class Guide:
    """Allows one token, then nothing."""

    def __init__(self, token: int) -> None:
        self._token, self.accepted = token, list[int]()

    def allowed(self, mask: memoryview) -> None:
        if not self.accepted:
            mask[self._token // 32] = 1 << self._token % 32

    def accept(self, token: int) -> None:
        self.accepted.append(token)

    @property
    def ended(self) -> bool:
        return bool(self.accepted)


@pytest.mark.parametrize("token", [0, 31, 32, 299])
def test_guide_allows_its_tokens_and_binds_its_row_alone(token: int) -> None:
    guide = Guide(token)
    rows = [make_row(), make_row(guide=guide), make_row(Sampling(seed=1, top_k=40), guide=Guide(token))]
    logits = np.stack([logits_of({50: 5.0})] * 3)

    choices = choose(logits.copy(), rows)

    assert [choice.token for choice in choices] == [50, token, token]
    assert guide.accepted == [token]
    after = choose(logits.copy(), rows)
    assert after[0].token == 50
    assert isinstance(after[1].error, InvalidRequestError)


def test_nothing_left_to_choose_is_an_error_of_its_row() -> None:
    choice = choose_one(logits_of({3: 1.0}, rest=-np.inf), make_row(min_tokens=1, end_tokens=frozenset({3})))

    assert str(choice.error) == "no token is left to choose: the request bans them all"
