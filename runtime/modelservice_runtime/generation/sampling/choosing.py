"""The next token of every row of a step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice_runtime.errors import InferenceFailedError, InvalidRequestError, ServingError
from modelservice_runtime.generation.sampling.logprobs import LogProbabilities
from modelservice_runtime.generation.sampling.narrowing import narrow
from modelservice_runtime.generation.sampling.row import SamplingRow
from modelservice_runtime.generation.values import Guide, TokenLogprob


@dataclass(frozen=True, slots=True)
class Choice:
    """One row's next token, or why there is none; `logprob` where the request asked for it."""

    token: int
    logprob: TokenLogprob | None = None
    error: ServingError | None = None


def choose(logits: NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[Choice]:
    """The next token of each row, in order; `logits` [rows, vocabulary] are changed in place.

    Each row remembers its own. What goes wrong with one row is its own error: numbers that are none (NaN,
    infinity), or a guide that gave up.
    """
    told = [_logprobs_of(row, values) for row, values in zip(rows, logits, strict=True)]
    for row, values in zip(rows, logits, strict=True):
        row.adjust(values)
    errors = _apply_guides(logits, rows)
    best = logits.argmax(axis=1)  # the place of the first NaN, where there is one
    peaks = logits[np.arange(len(rows)), best]
    choices = []
    for index, row in enumerate(rows):
        error = errors.get(index) or _error_of(float(peaks[index]))
        choices.append(
            Choice(-1, error=error) if error else _chosen(row, logits[index], int(best[index]), told[index])
        )
    return choices


def _chosen(
    row: SamplingRow, logits: NDArray[np.float32], best: int, told: LogProbabilities | None
) -> Choice:
    token = best if row.is_greedy else _draw(row, logits, logits[best])
    try:
        row.accept(token)
    except ServingError as error:
        return Choice(-1, error=error)
    return Choice(token, logprob=told.of(token) if told else None)


def _draw(row: SamplingRow, logits: NDArray[np.float32], peak: np.float32) -> int:
    with np.errstate(over="ignore"):  # far below the best is minus infinity
        scores = (logits - peak) / np.float32(row.sampling.temperature)
    tokens, weights = narrow(scores, row.sampling)
    sums = weights.cumsum(dtype=np.float64)
    place = int(sums.searchsorted(row.draw() * sums[-1], side="right"))
    if place == len(sums):  # rounded up to the sum of all
        place = int(weights.argmax())
    return place if tokens is None else int(tokens[place])


def _logprobs_of(row: SamplingRow, logits: NDArray[np.float32]) -> LogProbabilities | None:
    count = row.sampling.logprobs
    if count is None or not np.isfinite(logits.max()):  # the latter ends the row
        return None
    return LogProbabilities(logits.copy(), count)


def _apply_guides(logits: NDArray[np.float32], rows: Sequence[SamplingRow]) -> dict[int, ServingError]:
    """Take away what guides do not allow, for all rows at once; errors by row."""
    guided = [(index, row.guide) for index, row in enumerate(rows) if row.guide is not None]
    if not guided:
        return {}
    vocabulary = logits.shape[1]
    words = np.zeros((len(guided), (vocabulary + 31) // 32), "<u4")
    errors = {}
    for (index, guide), mask in zip(guided, words, strict=True):
        error = _fill(mask, guide)
        if error:
            errors[index] = error
    allowed = np.unpackbits(words.view(np.uint8), axis=1, count=vocabulary, bitorder="little")
    for (index, _guide), bits in zip(guided, allowed, strict=True):
        np.putmask(logits[index], bits == 0, -np.inf)
    return errors


def _fill(mask: NDArray[np.uint32], guide: Guide) -> ServingError | None:
    try:
        guide.allowed(mask.data)
    except ServingError as error:
        return error
    return None if mask.any() else InvalidRequestError("no token may come next by the form asked for")


def _error_of(peak: float) -> ServingError | None:
    if np.isfinite(peak):
        return None
    if peak == -np.inf:
        return InvalidRequestError("no token is left to choose: the request bans them all")
    return InferenceFailedError("the model's numbers are none (NaN or infinity)")
