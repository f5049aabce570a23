"""The encoder of the example: what its layers compute, from a file of weights."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

EXAMPLE = Path(__file__).parents[4] / "examples/12-encoder/encoder.py"
HEADS, SIZE, WORDS, WIDE = 2, 8, 20, 12
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": SIZE,
    "num_attention_heads": HEADS,
    "num_hidden_layers": 2,
    "layer_norm_eps": 1e-12,
}
Weights = dict[str, np.ndarray[Any, Any]]


def _load_example() -> Any:
    spec = importlib.util.spec_from_file_location("encoder", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make_weights() -> Weights:
    draw = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, SIZE),
        "embeddings.position_embeddings.weight": (16, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(CONFIG["num_hidden_layers"]):
        name = f"encoder.layer.{number}"
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{name}.attention.{part}.weight"] = (SIZE, SIZE)
            shapes[f"{name}.attention.{part}.bias"] = (SIZE,)
        shapes |= {
            f"{name}.intermediate.dense.weight": (WIDE, SIZE),
            f"{name}.intermediate.dense.bias": (WIDE,),
        }
        shapes |= {f"{name}.output.dense.weight": (SIZE, WIDE), f"{name}.output.dense.bias": (SIZE,)}
    shapes |= {f"{norm}.{part}": (SIZE,) for norm in norms for part in ("weight", "bias")}
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _write(folder: Path, weights: Weights) -> None:
    header, content = {}, b""
    for name, tensor in weights.items():
        end = len(content) + tensor.nbytes
        header[f"bert.{name}"] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(content), end]}
        content += tensor.tobytes()
    head = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + content)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")


def _bert(weights: Weights, ids: list[int]) -> np.ndarray[Any, Any]:
    """One text without padding, head by head."""

    def dense(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True))
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    embeddings = [
        weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
    ]
    states = norm(embeddings[0][ids] + embeddings[1][: len(ids)] + embeddings[2][0], "embeddings.LayerNorm")
    gelu = np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2)
    for number in range(CONFIG["num_hidden_layers"]):
        name = f"encoder.layer.{number}"
        query, key, value = (
            dense(states, f"{name}.attention.self.{part}") for part in ("query", "key", "value")
        )
        found = []
        for head in range(HEADS):
            own = slice(head * SIZE // HEADS, (head + 1) * SIZE // HEADS)
            shares = np.exp(query[:, own] @ key[:, own].T / math.sqrt(SIZE / HEADS))
            found.append(shares / shares.sum(-1, keepdims=True) @ value[:, own])
        attended = dense(np.concatenate(found, axis=-1), f"{name}.attention.output.dense")
        states = norm(attended + states, f"{name}.attention.output.LayerNorm")
        wide = gelu(dense(states, f"{name}.intermediate.dense"))
        states = norm(dense(wide, f"{name}.output.dense") + states, f"{name}.output.LayerNorm")
    return states


def test_vectors_are_those_of_bert_and_padding_changes_none(tmp_path: Path):
    weights = _make_weights()
    _write(tmp_path, weights)
    model = _load_example().build_encoder(tmp_path)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    ids, mask = np.array([[3, 1, 4, 1, 5], [9, 2, 0, 0, 0]]), np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    (states,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    np.testing.assert_allclose(states[0], _bert(weights, [3, 1, 4, 1, 5]), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(states[1, :2], _bert(weights, [9, 2]), rtol=1e-3, atol=1e-4)


def test_another_kind_of_model_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"hidden_act": "relu"}), encoding="utf-8")
    with pytest.raises(SystemExit, match="a bert with relu, not a BERT with gelu"):
        _load_example().build_encoder(tmp_path)
