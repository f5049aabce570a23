"""The trained model as one ONNX graph that takes raw text. Needs no torch: weights come as arrays.

text [N] -> StringNormalizer -> StringSplit (once per separator) -> Flatten -> tokens [N, T]
tokens -> TfIdfVectorizer (counts) and RegexFullMatch per pattern (summed) -> counts [N, features]
counts -> log, unit length, Gemm, Relu, Gemm, Sigmoid -> probability [N]
probability >= threshold -> label [N]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from spam.data import LABELS
from spam.text import SEPARATORS, TOKEN_PATTERNS

Floats = npt.NDArray[np.float32]

OPSET = 20  # StringSplit and RegexFullMatch appear here
IR_VERSION = 9  # the lowest that carries opset 20, for the widest choice of runtimes
PARITY_TOLERANCE = 1e-5


class ParityError(Exception):
    """The exported graph does not compute what the trained model computes."""


@dataclass(frozen=True)
class TrainedModel:
    """Everything the graph is made of. Weights are float32 as torch's Linear keeps them [out, in]."""

    vocabulary: tuple[str, ...]
    hidden_weight: Floats  # [hidden, features]
    hidden_bias: Floats  # [hidden]
    output_weight: Floats  # [1, hidden]
    output_bias: Floats  # [1]
    threshold: float
    norm_epsilon: float


def _build_token_nodes() -> list[onnx.NodeProto]:
    nodes = [
        helper.make_node(
            "StringNormalizer", ["text"], ["split_0"], case_change_action="LOWER", locale="C.UTF-8"
        )
    ]
    for i, separator in enumerate(SEPARATORS):
        outputs = [f"split_{i + 1}", f"split_{i + 1}_count"]
        nodes.append(helper.make_node("StringSplit", [f"split_{i}"], outputs, delimiter=separator))
    nodes.append(helper.make_node("Flatten", [f"split_{len(SEPARATORS)}"], ["tokens"], axis=1))
    return nodes


def _build_count_nodes(vocabulary: Sequence[str]) -> list[onnx.NodeProto]:
    vectorizer = helper.make_node(
        "TfIdfVectorizer",
        ["tokens"],
        ["vocabulary_counts"],
        mode="TF",
        min_gram_length=1,
        max_gram_length=1,
        max_skip_count=0,
        ngram_counts=[0],
        ngram_indexes=list(range(len(vocabulary))),
        pool_strings=list(vocabulary),
    )
    nodes = [vectorizer]
    for name, pattern in TOKEN_PATTERNS.items():
        nodes += [
            helper.make_node("RegexFullMatch", ["tokens"], [f"{name}_match"], pattern=pattern),
            helper.make_node("Cast", [f"{name}_match"], [f"{name}_float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("ReduceSum", [f"{name}_float", "token_axis"], [f"{name}_count"], keepdims=1),
        ]
    inputs = ["vocabulary_counts", *(f"{name}_count" for name in TOKEN_PATTERNS)]
    nodes.append(helper.make_node("Concat", inputs, ["counts"], axis=1))
    return nodes


def _build_classifier_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Add", ["counts", "one"], ["counts_plus_one"]),
        helper.make_node("Log", ["counts_plus_one"], ["scaled"]),
        helper.make_node("ReduceL2", ["scaled", "token_axis"], ["length"], keepdims=1),
        helper.make_node("Add", ["length", "norm_epsilon"], ["safe_length"]),
        helper.make_node("Div", ["scaled", "safe_length"], ["unit"]),
        helper.make_node("Gemm", ["unit", "hidden_weight", "hidden_bias"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "output_weight", "output_bias"], ["logit"], transB=1),
        helper.make_node("Sigmoid", ["logit"], ["probability_column"]),
        helper.make_node("Squeeze", ["probability_column", "token_axis"], ["probability"]),
        helper.make_node("GreaterOrEqual", ["probability", "threshold"], ["is_spam"]),
        helper.make_node("Where", ["is_spam", "spam_label", "ham_label"], ["label"]),
    ]


def _build_initializers(model: TrainedModel) -> list[onnx.TensorProto]:
    arrays = {
        "token_axis": np.array([1], dtype=np.int64),
        "one": np.array(1, dtype=np.float32),
        "norm_epsilon": np.array(model.norm_epsilon, dtype=np.float32),
        "threshold": np.array(model.threshold, dtype=np.float32),
        "hidden_weight": model.hidden_weight,
        "hidden_bias": model.hidden_bias,
        "output_weight": model.output_weight,
        "output_bias": model.output_bias,
    }
    numbers = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in arrays.items()]
    ham, spam = LABELS
    strings = [
        numpy_helper.from_array(np.array(value, dtype=object), name)
        for name, value in (("ham_label", ham), ("spam_label", spam))
    ]
    return numbers + strings


def build_onnx(model: TrainedModel, metadata: Mapping[str, str]) -> bytes:
    """Build and check the graph; the same input gives the same bytes.

    Input: `text`, string [N]. Outputs: `label`, string [N], and `probability`, float32 [N], the
    probability of spam.
    """
    text = helper.make_tensor_value_info("text", onnx.TensorProto.STRING, ["N"], "raw messages")
    label = helper.make_tensor_value_info("label", onnx.TensorProto.STRING, ["N"], "ham or spam")
    probability = helper.make_tensor_value_info(
        "probability", onnx.TensorProto.FLOAT, ["N"], "probability of spam"
    )
    nodes = _build_token_nodes() + _build_count_nodes(model.vocabulary) + _build_classifier_nodes()
    graph = helper.make_graph(nodes, "spam", [text], [label, probability], _build_initializers(model))
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="modelservice-example-spam",
    )
    helper.set_model_props(proto, dict(sorted(metadata.items())))
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


@dataclass(frozen=True)
class Predictions:
    """What one runtime says about N messages: labels string [N], probability float32 [N]."""

    labels: Sequence[str]
    probability: Floats


def compute_parity(expected: Predictions, actual: Predictions) -> float:
    """Return the largest difference of two runtimes' probabilities.

    Raises:
        ParityError: a label differs, or a probability differs by more than `PARITY_TOLERANCE`.

    """
    pairs = zip(expected.labels, actual.labels, strict=True)
    different = [i for i, (one, other) in enumerate(pairs) if one != other]
    if different:
        raise ParityError(f"{len(different)} labels differ, the first at message {different[0]}")
    largest = float(np.abs(expected.probability - actual.probability).max(initial=0.0))
    # `not <=` refuses NaN as well.
    if not largest <= PARITY_TOLERANCE:
        raise ParityError(f"probabilities differ by {largest:.3g}, allowed are {PARITY_TOLERANCE:.0e}")
    return largest
