"""What was found out about one answer of a model."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.explain.subject import Target

Weights = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True)
class Explanation:
    """How much each part of an input moved one number that a model answers.

    Attributes:
        method: `lime`, `shap` or `exact`.
        target: The number that is explained.
        features: Words of a text, or columns of a row.
        values: What each feature is in the input, as text; empty for words.
        weights: What each adds to the number: for `shap` and `exact` with `base` they add up to `prediction`;
            for `lime` they are the coefficients of a linear model near the input, 0 for features left out.
        base: `shap`, `exact`: the number without the input (of the background, or of the empty text);
            `lime`: the intercept.
        prediction: The number that the model answers.
        samples: How many variants of the input were looked at.
        rows: How many rows the model was asked.
        seed: Of the random choices.
        fit: `lime`: the coefficient of determination (R2) of the linear model; else None.
    """

    method: str
    target: Target
    features: tuple[str, ...]
    values: tuple[str, ...]
    weights: Weights
    base: float
    prediction: float
    samples: int
    rows: int
    seed: int
    fit: float | None = None

    @property
    def additivity_error(self) -> float | None:
        """How far base and weights are from the prediction when added up; None for `lime`."""
        if self.method == "lime":
            return None
        return abs(self.base + float(self.weights.sum()) - self.prediction)

    def order(self) -> list[int]:
        """Positions of the features, those that moved the number most first; equal ones in their order."""
        return sorted(range(len(self.features)), key=lambda index: (-abs(self.weights[index]), index))

    def to_document(self) -> dict[str, Any]:
        """Return all of it as JSON can say it; features in their order in the input."""
        return {
            "method": self.method,
            "output": self.target.output,
            "index": self.target.index,
            "class": self.target.name or None,
            "prediction": self.prediction,
            "base": self.base,
            "features": [
                {"name": name, "value": value, "weight": float(weight)}
                for name, value, weight in zip(self.features, self.values, self.weights, strict=True)
            ],
            "samples": self.samples,
            "rows": self.rows,
            "seed": self.seed,
            "fit": self.fit,
            "additivityError": self.additivity_error,
        }
