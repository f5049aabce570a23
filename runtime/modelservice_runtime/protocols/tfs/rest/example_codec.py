"""Classify and regress requests as JSON, and their answers; pure.

Source: tensorflow/serving `g3doc/api_rest.md`, `util/json_tensor.cc`.
"""

from collections.abc import Sequence
from functools import partial

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.tensors.json_codec import count_characters, write_json
from modelservice_runtime.protocols.tensors.json_tokens import decode_object_with_tokens
from modelservice_runtime.protocols.tensors.pieces import PIECE_VALUES, as_body
from modelservice_runtime.protocols.tfs.examples import (
    CLASSIFY,
    REGRESS,
    class_matrices,
    decode_examples,
    find_class_outputs,
    find_labels,
    find_value_output,
    value_vector,
)
from modelservice_runtime.protocols.tfs.prepared_call import PreparedCall, check_signature_name
from modelservice_runtime.protocols.tfs.rest.json_values import (
    HttpBody,
    encode_value,
    make_rows,
)
from modelservice_runtime.tensors import BYTES, Array, InferRequest, TensorSpec

_RESULTS = "results"


def prepare_classify(spec: ModelSpec, body: bytes | bytearray) -> PreparedCall:
    """Decode a classify body. Raises InvalidRequestError and PayloadTooLargeError."""
    wanted = find_class_outputs(spec)
    inputs, count = _decode_body(spec, body, CLASSIFY)
    names = tuple(tensor.name for tensor in wanted)
    return PreparedCall(InferRequest(inputs, names), partial(_encode_classes, wanted, count))


def prepare_regress(spec: ModelSpec, body: bytes | bytearray) -> PreparedCall:
    """Decode a regress body. Raises InvalidRequestError and PayloadTooLargeError."""
    output = find_value_output(spec)
    inputs, count = _decode_body(spec, body, REGRESS)
    return PreparedCall(InferRequest(inputs, (output.name,)), partial(_encode_values, output, count))


def _decode_body(spec: ModelSpec, body: bytes | bytearray, method_name: str) -> tuple[dict[str, Array], int]:
    """The model's inputs, and how many examples there are."""
    document = decode_object_with_tokens(body)
    check_signature_name(document, method_name)
    context = document.get("context")
    if context is None:
        context = {}
    if type(context) is not dict:
        raise InvalidRequestError("'context' must be an object of features")
    examples = document.get("examples")
    if type(examples) is not list or not examples:
        raise InvalidRequestError("'examples' must be an array with at least one object of features")
    for index, example in enumerate(examples):
        if type(example) is not dict:
            raise InvalidRequestError(f"example {index} must be an object of features")
    return decode_examples(spec, context, examples, body), len(examples)


def _encode_classes(wanted: Sequence[TensorSpec], count: int, outputs: Sequence[Array]) -> HttpBody:
    """For every example the pairs of label and score; a model without labels has empty ones."""
    matrices = class_matrices(wanted, count, outputs)
    width = next(iter(matrices.values())).shape[1]
    step = max(PIECE_VALUES // max(width, 1), 1)
    parts: list[bytes] = []
    for start in range(0, count, step):
        examples = slice(start, start + step)
        characters = sum([count_characters(matrix[examples]) for matrix in matrices.values()])
        text = write_json(_make_pairs(wanted, matrices, examples), step * width, characters)
        parts += [b"," if start else b'{"results":[', text[1:-1]]
    return as_body([*parts, b"]}"])


def _make_pairs(wanted: Sequence[TensorSpec], matrices: dict[str, Array], examples: slice) -> list[object]:
    rows_by_kind: dict[bool, list[list[object]]] = {}
    for tensor in wanted:
        matrix = matrices[tensor.name][examples]
        rows_by_kind[tensor.datatype is BYTES] = [make_rows(tensor, row) for row in matrix]
    unnamed: list[object] = [*find_labels(wanted)] or [""] * matrix.shape[1]
    labels = rows_by_kind.get(True, [unnamed] * len(matrix))
    scores = rows_by_kind.get(False, [[0.0] * matrix.shape[1]] * len(matrix))
    return [list(zip(*pair, strict=True)) for pair in zip(labels, scores, strict=True)]


def _encode_values(output: TensorSpec, count: int, outputs: Sequence[Array]) -> HttpBody:
    """One number for every example."""
    return encode_value(_RESULTS, output, value_vector(output, count, outputs))
