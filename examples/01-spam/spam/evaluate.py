"""Metrics of a binary classifier and the readable report. Pure: arrays in, numbers and text out."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_BOOTSTRAP_SAMPLES = 2000
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Confusion:
    """Counts of one evaluation; positive means spam."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def accuracy(self) -> float:
        """Share of the messages that were labelled correctly."""
        total = self.true_positive + self.false_positive + self.false_negative + self.true_negative
        return _ratio(self.true_positive + self.true_negative, total)

    @property
    def precision(self) -> float:
        """Share of the messages called spam that are spam."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the spam that was found."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        wrong = self.false_positive + self.false_negative
        return _ratio(2 * self.true_positive, 2 * self.true_positive + wrong)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def compute_confusion(probability: Floats, is_spam: Bools, threshold: float) -> Confusion:
    """Compare float32 probabilities [N] at a threshold with the truth [N]."""
    called = probability >= np.float32(threshold)
    return Confusion(
        true_positive=int((called & is_spam).sum()),
        false_positive=int((called & ~is_spam).sum()),
        false_negative=int((~called & is_spam).sum()),
        true_negative=int((~called & ~is_spam).sum()),
    )


def choose_threshold(probability: Floats, is_spam: Bools) -> float:
    """Return the threshold with the best F1, halfway between the two probabilities that it separates.

    Halfway, so that rounding in another runtime moves no message to the other side. Among equals the
    highest wins: a good message in the spam folder costs more than a spam in the inbox.
    """
    levels = np.unique(np.concatenate([[np.float32(0)], probability, [np.float32(1)]]))
    candidates = [_middle(low, high) for low, high in pairwise(levels)]
    return max(candidates, key=lambda level: (compute_confusion(probability, is_spam, level).f1, level))


def _middle(low: np.float32, high: np.float32) -> float:
    """Return a float32 in (low, high]: between two neighbours there is none but the upper one."""
    middle = np.float32((low + high) / 2)
    return float(middle if middle > low else high)


def compute_f1_interval(probability: Floats, is_spam: Bools, threshold: float) -> tuple[float, float]:
    """Return the 95 % interval of F1 by a bootstrap over the messages (percentiles, fixed seed)."""
    generator = np.random.default_rng(_BOOTSTRAP_SEED)
    scores = []
    for _ in range(_BOOTSTRAP_SAMPLES):
        sample = generator.integers(0, len(is_spam), len(is_spam))
        scores.append(compute_confusion(probability[sample], is_spam[sample], threshold).f1)
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def compute_metrics(probability: Floats, is_spam: Bools, threshold: float) -> dict[str, Any]:
    """Return the metrics of one part of the data as plain, rounded numbers."""
    confusion = compute_confusion(probability, is_spam, threshold)
    low, high = compute_f1_interval(probability, is_spam, threshold)
    return {
        "accuracy": round(confusion.accuracy, 4),
        "precision": round(confusion.precision, 4),
        "recall": round(confusion.recall, 4),
        "f1": round(confusion.f1, 4),
        "f1Interval95": [round(low, 4), round(high, 4)],
        "confusion": {
            "truePositive": confusion.true_positive,
            "falsePositive": confusion.false_positive,
            "falseNegative": confusion.false_negative,
            "trueNegative": confusion.true_negative,
        },
    }


def render_report(report: Mapping[str, Any]) -> str:
    """Render the report of `train.py` as Markdown."""
    test, counts, parity = report["test"], report["data"]["counts"], report["parity"]
    low, high = test["f1Interval95"]
    confusion = test["confusion"]
    rows = "\n".join(f"| {name} | {part['ham']} | {part['spam']} |" for name, part in counts.items())
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return f"""# Spam classifier: evaluation

Held-out test messages, threshold {report["threshold"]:.4f} (chosen on the validation messages):

| Metric | Value |
|---|---|
| F1 | {test["f1"]:.4f} (95 % interval {low:.4f} to {high:.4f}) |
| Precision | {test["precision"]:.4f} |
| Recall | {test["recall"]:.4f} |
| Accuracy | {test["accuracy"]:.4f} |

| | called ham | called spam |
|---|---|---|
| is ham | {confusion["trueNegative"]} | {confusion["falsePositive"]} |
| is spam | {confusion["falseNegative"]} | {confusion["truePositive"]} |

F1 on the validation messages: {report["validation"]["f1"]:.4f}.

| Part | ham | spam |
|---|---|---|
{rows}

{report["data"]["messages"]} messages were read and {report["data"]["distinct"]} are distinct; near-duplicates
were dropped before the split. Data sha256 `{report["data"]["sha256"]}`.

torch and ONNX Runtime agree on all {parity["messages"]} test messages: labels equal, probabilities within
{parity["maxDifference"]:.1e} (allowed {parity["tolerance"]:.0e}).

Model: `model.onnx`, {report["model"]["sizeBytes"]} bytes, sha256 `{report["model"]["sha256"]}`.
Training took {report["trainingSeconds"]:.1f} s with seed {report["training"]["seed"]}; the best epoch was
{report["bestEpoch"]}.
Versions: {versions}.
"""
