"""Which models of tensors read texts and give vectors or scores; pure."""

from dataclasses import dataclass

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import BYTES, TensorSpec

# What exporters call the vector of a text.
_VECTOR_NAMES = ("embedding", "sentence", "vector", "pooled", "pooler")
# A single output of this width and without labels is a vector by any name; scores of classes are narrower.
_MIN_VECTOR_WIDTH = 32
_QUERY_NAMES = ("query", "question", "text_a", "text1", "sentence1")


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text in, a vector out; `width` -1 where the graph does not say it."""

    text: TensorSpec
    vector: TensorSpec

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return (self.vector.shape or (-1, -1))[1]


@dataclass(frozen=True, slots=True)
class CrossEncoder:
    """A query and a document in, a score out."""

    query: TensorSpec
    document: TensorSpec
    score: TensorSpec


def find_encoder(spec: ModelSpec) -> Encoder | None:
    """The model's text and vector; None where it is no such model."""
    if len(spec.inputs) != 1 or not _is_text(spec.inputs[0]):
        return None
    matrices = [tensor for tensor in spec.outputs if _is_matrix(tensor)]
    named = [tensor for tensor in matrices if any(word in tensor.name.lower() for word in _VECTOR_NAMES)]
    if named:
        return Encoder(spec.inputs[0], named[0])
    if len(spec.outputs) == 1 and matrices and not matrices[0].labels:
        encoder = Encoder(spec.inputs[0], matrices[0])
        return encoder if encoder.width >= _MIN_VECTOR_WIDTH else None
    return None


def find_cross_encoder(spec: ModelSpec) -> CrossEncoder | None:
    """The model's two texts and its score; None where it is no such model."""
    if len(spec.inputs) != 2 or not all(map(_is_text, spec.inputs)):
        return None
    scores = [tensor for tensor in spec.outputs if _is_score(tensor)]
    if not scores:
        return None
    first, second = spec.inputs
    if second.name.lower() in _QUERY_NAMES and first.name.lower() not in _QUERY_NAMES:
        first, second = second, first
    return CrossEncoder(first, second, scores[0])


def _is_text(tensor: TensorSpec) -> bool:
    return tensor.datatype is BYTES and tensor.shape in ((-1,), (-1, 1), None)


def _is_matrix(tensor: TensorSpec) -> bool:
    return tensor.datatype.is_float and tensor.shape is not None and len(tensor.shape) == 2


def _is_score(tensor: TensorSpec) -> bool:
    return tensor.datatype.is_float and tensor.shape in ((-1,), (-1, 1))
