"""Recurrent layers with torch's weights: in a sequence, or one step of a loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from modelservice_pipeline.text.graph import Value

Weights = Mapping[str, np.ndarray[Any, Any]]
"""Arrays by the names that torch's `state_dict` has."""


@dataclass(frozen=True)
class Gru:
    """A layer of torch's `nn.GRU`, as ONNX wants it.

    Attributes:
        input: [directions, 3 * hidden, inputs].
        recurrent: [directions, 3 * hidden, hidden].
        bias: [directions, 6 * hidden].
    """

    input: np.ndarray[Any, Any]
    recurrent: np.ndarray[Any, Any]
    bias: np.ndarray[Any, Any]

    @classmethod
    def from_torch(cls, weights: Weights, name: str, layer: int = 0, *, both_ways: bool = False) -> "Gru":
        """Take layer `layer` of the module `name`; torch's gates r, z, n become ONNX's z, r, n."""
        suffixes = [f"l{layer}", f"l{layer}_reverse"] if both_ways else [f"l{layer}"]

        def stack(*kinds: str) -> np.ndarray[Any, Any]:
            rows = [[_reorder(weights[f"{name}.{kind}_{suffix}"]) for kind in kinds] for suffix in suffixes]
            return np.stack([np.concatenate(row) for row in rows]).astype(np.float32)

        return cls(stack("weight_ih"), stack("weight_hh"), stack("bias_ih", "bias_hh"))

    @property
    def hidden(self) -> int:
        """The size of its state, in one direction."""
        return int(self.recurrent.shape[2])

    def read(self, inputs: Value, lengths: Value, state: Value | None = None) -> tuple[Value, Value]:
        """Run it over sequences; padding after their ends has no influence.

        Args:
            inputs: float32 [N, time, inputs].
            lengths: int64 [N], 1 or more each.
            state: What it starts from, float32 [N, hidden]; zeros by default. For one direction only.

        Returns:
            Outputs [N, time, directions * hidden], zeros after the ends, and last states
            [N, directions * hidden].
        """
        outputs, last = self._run(inputs, lengths.cast(TensorProto.INT32), state)
        graph = inputs.graph
        width = len(self.input) * self.hidden
        joined = graph.op("Transpose", outputs, perm=[2, 0, 1, 3]).reshape(0, 0, width)
        return joined, graph.op("Transpose", last, perm=[1, 0, 2]).reshape(0, width)

    def step(self, inputs: Value, state: Value) -> Value:
        """Return the state [N, hidden] after one more input [N, inputs]."""
        return self._run(inputs.unsqueeze(1), None, state)[1].squeeze(0)

    def _run(self, inputs: Value, lengths: Value | None, state: Value | None) -> tuple[Value, ...]:
        graph = inputs.graph
        return graph.op_many(
            "GRU",
            2,
            graph.op("Transpose", inputs, perm=[1, 0, 2]),
            self.input,
            self.recurrent,
            self.bias,
            lengths,
            None if state is None else state.unsqueeze(0),
            hidden_size=self.hidden,
            direction="bidirectional" if len(self.input) > 1 else "forward",
            # torch applies the reset gate after the product with the recurrent weights.
            linear_before_reset=1,
        )


def linear(inputs: Value, weights: Weights, name: str) -> Value:
    """Apply torch's `nn.Linear` named `name` to [..., inputs]."""
    graph = inputs.graph
    product = graph.op("MatMul", inputs, np.ascontiguousarray(weights[f"{name}.weight"].T))
    bias = weights.get(f"{name}.bias")
    return product if bias is None else product + bias


def _reorder(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])
