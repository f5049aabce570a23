"""Writes texts inside the graph: a loop asks the model for one piece after another and joins their texts.

The model is a `Step`: it takes the piece before and its state, and answers a score for every piece. How one
of them is chosen is a `Chooser`: `greedy`, or `sampler` with temperature, top-k and seed. Each row ends by
itself, and no row's text depends on the others of its batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.chance import uniform
from modelservice_pipeline.text.graph import INT64, Value

State = tuple[Value, ...]
Step = Callable[[Value, State], tuple[Value, State]]
"""From the pieces before, int64 [N], and the state to scores, float32 [N, pieces], and the next state."""
Chooser = Callable[[Value, Value], Value]
"""From scores, float32 [N, pieces], and the number of the step, a scalar, to pieces, int64 [N]."""


@dataclass(frozen=True)
class Pieces:
    """What the numbers that a model writes stand for.

    Attributes:
        texts: The text of each piece, with its spaces; empty for those that are never seen.
        begin: The piece before the first.
        end: The piece that ends a text.
    """

    texts: Sequence[str]
    begin: int
    end: int

    def __post_init__(self) -> None:
        """Raise PipelineError for numbers beyond the pieces."""
        for name, number in (("begin", self.begin), ("end", self.end)):
            if not 0 <= number < len(self.texts):
                raise PipelineError(
                    f"the piece `{name}` has number {number}, but there are {len(self.texts)} pieces"
                )


def generate(
    step: Step, state: State, pieces: Pieces, most: Value, choose: Chooser, *, first: Value | None = None
) -> Value:
    """Let the model write until each row has written `pieces.end` or as many pieces as it may.

    Args:
        step: The model.
        state: Its state before the first step; row by row in any dimension.
        pieces: What it writes with.
        most: How many pieces each row may have, int64 [N]; a row with 0 gets an empty text.
        choose: `greedy`, or what `sampler` returns.
        first: The pieces before the first, int64 [N], where a prompt came before; by default `pieces.begin`.
            What follows `pieces.begin` begins a text, and has no space before it.

    Returns:
        The texts, string [N].
    """
    graph = most.graph
    texts = graph.strings([*pieces.texts, *(text.removeprefix(" ") for text in pieces.texts)])
    written = graph.strings([""]).gather(graph.full(most.shape(), 0))

    def write(iteration: Value, before: Value, done: Value, written: Value, *state: Value) -> State:
        scores, state = step(before, state)
        piece = graph.where(done, pieces.end, choose(scores, iteration))
        done = done | piece.equals(pieces.end)
        begins = iteration.equals(0) & before.equals(pieces.begin)
        shown = texts.gather(piece + graph.where(begins, len(pieces.texts), 0))
        # The end may have a text in a vocabulary; nobody should read it.
        written = graph.op("StringConcat", written, graph.where(done, graph.strings([""]), shown))
        done = done | (most <= iteration + 1)
        return (~done).any(), piece, done, written, *state

    before = graph.full(most.shape(), pieces.begin) if first is None else first
    done = most <= 0
    results = graph.loop(write, before, done, written, *state, go_on=(~done).any(), most=most.max())
    return results[2]


def greedy(scores: Value, _step: Value) -> Value:
    """Choose the piece with the highest score, the first one of several."""
    return scores.graph.op("ArgMax", scores, axis=1, keepdims=0)


def sampler(temperature: Value, top_k: Value, seed: Value, vocabulary: int) -> Chooser:
    """Draw pieces by their probability; the same seed draws the same ones.

    Args:
        temperature: float32 [N]. Scores are divided by it; 0, or what is no positive number, is greedy.
        top_k: int64 [N]. Only as many of the best pieces take part; 0 or less means all.
        seed: int64 [N]. Rows with the same seed, prompt and settings get the same text.
        vocabulary: How many pieces there are.

    Returns:
        A chooser for `generate`.
    """
    graph = temperature.graph
    warm = graph.op("Greater", temperature, 0.0)
    divisor = graph.where(warm, temperature, 1.0).cast(TensorProto.DOUBLE).unsqueeze(1)
    allowed = graph.where(top_k > 0, graph.op("Min", top_k, vocabulary), vocabulary)
    kept = allowed.max()
    takes_part = (graph.range(kept).unsqueeze(0) < allowed.unsqueeze(1)).cast(TensorProto.DOUBLE)

    def choose(scores: Value, iteration: Value) -> Value:
        best, numbers = graph.op_many("TopK", 2, scores, kept.reshape(1), axis=1)
        distance = (best - best.slice(0, 1, axis=1)).cast(TensorProto.DOUBLE)
        # In double precision, so that how a sum is cut into vectors cannot decide between two pieces.
        summed = graph.op("CumSum", graph.op("Exp", distance / divisor) * takes_part, 1)
        threshold = uniform(seed, iteration).unsqueeze(1) * summed.gather(np.array([-1]), axis=1)
        passed = (summed <= threshold).cast(INT64).sum(1)
        rank = graph.where(warm, passed, 0).unsqueeze(1)
        return graph.op("GatherElements", numbers, rank, axis=1).squeeze(1)

    return choose
