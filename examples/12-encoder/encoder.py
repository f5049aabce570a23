"""Write a BERT as ONNX from its Hugging Face folder: `python encoder.py FOLDER --output encoder.onnx`.

FOLDER has config.json and model.safetensors. The graph takes input_ids and attention_mask, and answers
last_hidden_state; `modelservice model text` puts the tokenizer before it. No framework is needed.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from modelservice_pipeline.text.graph import FLOAT, INT64, Graph, Value

_MASKED = -1e9  # a score that the softmax makes 0


def read_safetensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors of a file: the length of a JSON header, the header, the numbers."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    types = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    return {
        name: np.frombuffer(
            content[8 + size + fact["data_offsets"][0] : 8 + size + fact["data_offsets"][1]],
            types[fact["dtype"]],
        ).reshape(fact["shape"])
        for name, fact in header.items()
    }


class Bert:
    """The layers of BERT (Devlin et al. 2018) with the names that transformers gives their weights."""

    def __init__(
        self, graph: Graph, weights: dict[str, np.ndarray[Any, Any]], config: dict[str, Any]
    ) -> None:
        self.graph = graph
        self.weights = weights
        self.config = config

    def states(self, ids: Value, mask: Value) -> Value:
        """Return the vectors of tokens [N, S]; [N, S, D]."""
        positions = self.weight("embeddings.position_embeddings.weight").gather(self.graph.range(ids.size(1)))
        kinds = self.weight("embeddings.token_type_embeddings.weight").gather(0)
        words = self.weight("embeddings.word_embeddings.weight").gather(ids)
        states = self.norm(words + positions + kinds, "embeddings.LayerNorm")
        scores = (mask.cast(FLOAT) - 1.0) * -_MASKED
        for number in range(self.config["num_hidden_layers"]):
            states = self.layer(states, scores.unsqueeze(1, 2), f"encoder.layer.{number}")
        return states

    def layer(self, states: Value, masked: Value, name: str) -> Value:
        attended = self.attend(states, masked, f"{name}.attention.self")
        attended = self.dense(attended, f"{name}.attention.output.dense")
        states = self.norm(attended + states, f"{name}.attention.output.LayerNorm")
        wide = self.graph.op("Gelu", self.dense(states, f"{name}.intermediate.dense"))
        return self.norm(self.dense(wide, f"{name}.output.dense") + states, f"{name}.output.LayerNorm")

    def attend(self, states: Value, masked: Value, name: str) -> Value:
        heads = self.config["num_attention_heads"]
        size = self.config["hidden_size"] // heads
        query, key, value = (
            self.dense(states, f"{name}.{part}").reshape(0, 0, heads, size)
            for part in ("query", "key", "value")
        )
        query = self.graph.op("Transpose", query, perm=[0, 2, 1, 3]) / math.sqrt(size)
        scores = self.graph.op("MatMul", query, self.graph.op("Transpose", key, perm=[0, 2, 3, 1]))
        shares = self.graph.op("Softmax", scores + masked, axis=-1)
        found = self.graph.op("MatMul", shares, self.graph.op("Transpose", value, perm=[0, 2, 1, 3]))
        return self.graph.op("Transpose", found, perm=[0, 2, 1, 3]).reshape(0, 0, heads * size)

    def dense(self, states: Value, name: str) -> Value:
        turned = self.graph.constant(self.weights[f"{name}.weight"].astype(np.float32).T.copy())
        return self.graph.op("MatMul", states, turned) + self.weight(f"{name}.bias")

    def norm(self, states: Value, name: str) -> Value:
        return self.graph.op(
            "LayerNormalization",
            states,
            self.weight(f"{name}.weight"),
            self.weight(f"{name}.bias"),
            epsilon=self.config["layer_norm_eps"],
        )

    def weight(self, name: str) -> Value:
        return self.graph.constant(self.weights[name].astype(np.float32))


def build_encoder(folder: Path) -> onnx.ModelProto:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise SystemExit(
            f"{folder} has a {config['model_type']} with {config['hidden_act']}, not a BERT with gelu"
        )
    weights = {
        name.removeprefix("bert."): tensor
        for name, tensor in read_safetensors(folder / "model.safetensors").items()
    }
    graph = Graph("encoder")
    ids, mask = (graph.input(name, INT64, ["N", "S"]) for name in ("input_ids", "attention_mask"))
    states = Bert(graph, weights, config).states(ids, mask)
    graph.output("last_hidden_state", states, FLOAT, ["N", "S", config["hidden_size"]])
    return graph.model()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a Hugging Face folder of a BERT")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    onnx.save(build_encoder(arguments.folder), arguments.output)


if __name__ == "__main__":
    main()
