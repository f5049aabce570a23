"""Explanations through a served model: `python -m benchmarks.explanations [SPAM_MODEL]`.

The server has the first CPU and the explainer the second. `make train` makes the model of the example; the
other one has random weights. Goals are for a machine that does nothing else; the best of some rounds counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.models import save_mlp
from benchmarks.servers import modelservice, pin_client
from modelservice_pipeline.explain.explain import Method, Options
from modelservice_pipeline.explain.explanation import Explanation
from modelservice_pipeline.explain.request import Question, explain_given, explain_tensors
from modelservice_pipeline.predict.endpoint import EndpointPredictor

SPAM = Path("build/examples/01-spam/model.onnx")
TEXT = "URGENT! You have WON a 1000 pound prize. Call 09061701461 to claim now!"
_FEATURES = 30
_ROUNDS = 5


@dataclass(frozen=True)
class Task:
    """What is explained, and how long it may take."""

    name: str
    explain: Callable[[], Explanation]
    goal_seconds: float


def main() -> None:
    """Serve both models and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spam", nargs="?", type=Path, default=SPAM, metavar="SPAM_MODEL")
    arguments = parser.parse_args()
    if not arguments.spam.is_file():
        parser.error(f"no file {arguments.spam}: 'make train' makes one, or name another")
    pin_client()
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory) / "table.onnx"
        save_mlp(table, [_FEATURES, 64, 2])
        with modelservice({"spam": arguments.spam, "table": table}) as target:
            for task in (*_tasks_of_texts(target.port), *_tasks_of_rows(target.port)):
                _measure(task)


def _tasks_of_texts(port: int) -> list[Task]:
    predictor = EndpointPredictor(f"http://127.0.0.1:{port}/v2/models/spam")

    def explain(method: Method, samples: int) -> Explanation:
        question = Question(Options(method, samples), "probability")
        return explain_given(predictor, TEXT, None, question)

    return [
        Task("LIME of a text, 1,000 samples", lambda: explain("lime", 1000), 1.0),
        Task("KernelSHAP of a text, 1,000 samples", lambda: explain("shap", 1000), 1.0),
    ]


def _tasks_of_rows(port: int) -> list[Task]:
    predictor = EndpointPredictor(f"http://127.0.0.1:{port}/v2/models/table")
    rows = np.random.default_rng(0).normal(size=(1000, _FEATURES)).astype(np.float32)

    def explain(method: Method, samples: int, background: int) -> Explanation:
        question = Question(Options(method, samples))
        return explain_tensors(predictor, {"x": rows[:1]}, {"x": rows[1 : background + 1]}, question)

    return [
        Task("KernelSHAP of a row, 500 samples x 10 rows", lambda: explain("shap", 500, 10), 5.0),
        Task("LIME of a row, 1,000 samples", lambda: explain("lime", 1000, 900), 1.0),
    ]


def _measure(task: Task) -> None:
    best, rows = float("inf"), 0
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        rows = task.explain().rows
        best = min(best, time.perf_counter() - began)
    mark = "ok" if best <= task.goal_seconds else "missed"
    print(f"  {task.name:<44} {rows:>6,} rows {best:>8.3f} s (<= {task.goal_seconds:g} s) {mark}")


if __name__ == "__main__":
    main()
