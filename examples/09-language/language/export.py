"""The model as one ONNX graph: texts in, languages and probabilities out.

ONNX has no operator that splits a text into characters; ONNX Runtime's own `Tokenizer` does.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from language.model import EDGE, LONGEST, Model

_OPSET, _ML_OPSET, _IR_VERSION = 20, 3, 9
_PADDING = "\0"
"""What Tokenizer fills short texts up with; no n-gram of the model has it."""


def build_graph(model: Model) -> onnx.ModelProto:
    """Return the graph: `text` [N] to `language` [N], both strings, and `probabilities` [N, languages]."""
    nodes = [
        helper.make_node("StringConcat", ["edge", "text"], ["opened"]),
        helper.make_node("StringConcat", ["opened", "edge"], ["edged"]),
        helper.make_node(
            "Tokenizer", ["edged"], ["characters"], domain="com.microsoft",
            mark=0, mincharnum=1, pad_value=_PADDING, separators=[""],
        ),
        _count_grams(model.grams),
        helper.make_node("Mul", ["counts", "rarity"], ["weighted"]),
        helper.make_node("ReduceL2", ["weighted", "last"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "tiny"], ["divisor"]),
        helper.make_node("Div", ["weighted", "divisor"], ["features"]),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["languages", "best"], ["language"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "language",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["N"])],
        [
            helper.make_tensor_value_info("language", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(model.languages)]),
        ],
        _make_constants(model),
    )
    opsets = [("", _OPSET), ("ai.onnx.ml", _ML_OPSET), ("com.microsoft", 1)]
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


def _count_grams(grams: Sequence[str]) -> onnx.NodeProto:
    """Count n-grams: TfIdfVectorizer wants those of one length together, each as its characters."""
    lengths = range(1, LONGEST + 1)
    numbers = {length: [at for at, gram in enumerate(grams) if len(gram) == length] for length in lengths}
    pool = [letter for length in numbers for at in numbers[length] for letter in grams[at]]
    starts, position = [], 0
    for length, found in numbers.items():
        starts.append(position)
        position += length * len(found)
    return helper.make_node(
        "TfIdfVectorizer",
        ["characters"],
        ["counts"],
        mode="TF",
        min_gram_length=1,
        max_gram_length=LONGEST,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=[at for found in numbers.values() for at in found],
        pool_strings=pool,
    )


def _make_constants(model: Model) -> list[onnx.TensorProto]:
    return [
        helper.make_tensor("edge", TensorProto.STRING, [1], [EDGE.encode()]),
        helper.make_tensor(
            "languages",
            TensorProto.STRING,
            [len(model.languages)],
            [name.encode() for name in model.languages],
        ),
        numpy_helper.from_array(model.rarity, "rarity"),
        numpy_helper.from_array(model.weights, "weights"),
        numpy_helper.from_array(model.bias, "bias"),
        numpy_helper.from_array(np.array([1e-9], np.float32), "tiny"),
        numpy_helper.from_array(np.array([1], np.int64), "last"),
    ]
