"""Metrics of texts: BLEU and chrF, whose parts are counts that add up over rows.

The counts of BLEU come from sacrebleu, which the serving image does not have: there texts are not scored.
"""

from collections import Counter

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.classification import Array, Scorer
from modelservice_pipeline.evaluate.sums import divide

_BLEU_ORDER = 4
_CHRF_ORDER = 6
_CHRF_BETA = 2.0


def score_bleu(labels: Array, answers: Answers) -> Scorer:
    """Score BLEU of 0 to 100 as sacrebleu's defaults do: 13a tokens, exponential smoothing, one reference."""
    counts = _count_words(labels, answers)

    def score(weights: Array) -> Array:
        sums = weights @ counts
        right, total = sums[:, :_BLEU_ORDER], sums[:, _BLEU_ORDER : 2 * _BLEU_ORDER]
        said, wanted = sums[:, -2], sums[:, -1]
        missed = (right == 0) & (total > 0)
        smoothed = np.where(right == 0, 0.5 ** np.cumsum(missed, axis=1), right)
        # An order that no text is long enough for makes the product 0, as sacrebleu has it for a corpus.
        with np.errstate(divide="ignore"):
            logs = np.log(divide(smoothed, total, 0.0)).mean(axis=1)
        brevity = np.exp(np.minimum(0.0, 1 - divide(wanted, said, np.inf)))
        return np.where(right.any(axis=1), 100 * brevity * np.exp(logs), 0.0)

    return score


def score_chrf(labels: Array, answers: Answers) -> Scorer:
    """Score chrF2 of 0 to 100 (Popović 2015) as sacrebleu's defaults do: up to 6 characters, no spaces."""
    counts = np.array(
        [_count_characters(said, wanted) for said, wanted in zip(answers.predicted, labels, strict=True)],
        np.float64,
    ).reshape(len(labels), 3 * _CHRF_ORDER)

    def score(weights: Array) -> Array:
        said, wanted, right = np.moveaxis((weights @ counts).reshape(-1, _CHRF_ORDER, 3), 2, 0)
        counted = (said > 0) & (wanted > 0)
        orders = counted.sum(axis=1)
        precision = divide(np.where(counted, divide(right, said, 0.0), 0.0).sum(axis=1), orders, 0.0)
        recall = divide(np.where(counted, divide(right, wanted, 0.0), 0.0).sum(axis=1), orders, 0.0)
        factor = _CHRF_BETA**2
        return 100 * divide((1 + factor) * precision * recall, factor * precision + recall, 0.0)

    return score


def score_exact(labels: Array, answers: Answers) -> Scorer:
    """Score the share of texts that are the label's, character for character."""
    same = np.fromiter(
        (one == other for one, other in zip(labels, answers.predicted, strict=True)), np.float64, len(labels)
    )
    return lambda weights: divide(weights @ same, weights.sum(axis=1))


def _count_words(labels: Array, answers: Answers) -> Array:
    """Return matches and n-grams of each order, then the lengths of text and reference, [rows, 10]."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise PipelineError(
            "BLEU needs the package sacrebleu: pip install 'modelservice[pipeline]'"
        ) from None
    bleu = BLEU(effective_order=True)
    scores = [
        bleu.sentence_score(said, [wanted]) for said, wanted in zip(answers.predicted, labels, strict=True)
    ]
    rows = [[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in scores]
    return np.array(rows, np.float64).reshape(len(labels), 2 * _BLEU_ORDER + 2)


def _count_characters(said: str, wanted: str) -> list[int]:
    """Return n-grams of the text, of the reference and common ones, for each order in turn."""
    said, wanted = "".join(said.split()), "".join(wanted.split())
    counts: list[int] = []
    for order in range(1, _CHRF_ORDER + 1):
        ours, theirs = _grams(said, order), _grams(wanted, order)
        # Texts too short for a reference n-gram do not count against the model.
        counts += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
    return counts


def _grams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
