"""Classical models (ai.onnx.ml): most take a matrix with one sample per row, and a vector as one sample."""

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.sizes import ONE, MixingError, Size, times
from modelservice_runtime.onnx.rows.values import Tensor, Value, dims_of


def _matrix(call: Call, at: int = 0) -> Tensor:
    """An input whose rows, if it has any, are its samples."""
    x = call.tensor(at)
    if x.axis is not None and (x.axis != 0 or len(dims_of(x)) != 2):
        raise MixingError("the rows are not its samples: it takes [samples, features]")
    return x


def _columns(x: Tensor, columns: Size) -> Tensor:
    return Tensor((dims_of(x)[0], columns), x.axis, x.before)


def _count(call: Call, *names: str) -> Size | None:
    """How many classes or targets the attributes list."""
    for name in names:
        found = call.attribute(name)
        if found is None:
            continue
        many = len(found.integers()) or sum(1 for _ in found.texts())
        if many:
            return Size(many)
    return None


def _classifier(call: Call) -> list[Value]:
    """[samples, features] to labels [samples] and scores [samples, classes]."""
    x = _matrix(call)
    classes = _count(
        call, "classlabels_strings", "classlabels_int64s", "classlabels_ints"
    ) or call.symbols.fresh()  # fmt: skip
    label = Tensor((dims_of(x)[0],), x.axis, x.before)
    return [label, _columns(x, classes)]


def _vector_classifier(call: Call) -> list[Value]:
    """Scores are of classes, or of pairs of classes where it gives no probabilities."""
    x = _matrix(call)
    return [Tensor((dims_of(x)[0],), x.axis, x.before), _columns(x, call.symbols.fresh())]


def _regressor(call: Call) -> list[Value]:
    x = _matrix(call)
    targets = call.integer("n_targets", 0) or call.integer("targets", 1)
    return [_columns(x, Size(targets) if targets > 0 else call.symbols.fresh())]


def _same_matrix(call: Call) -> list[Value]:
    """Features are changed by numbers of their own, or by those of the same sample."""
    x = _matrix(call)
    return [Tensor(x.dims, x.axis, x.before)]


def _same(call: Call) -> list[Value]:
    """Every element by itself."""
    x = call.tensor(0)
    return [Tensor(x.dims, x.axis, x.before)]


def _one_hot(call: Call) -> list[Value]:
    """One more dimension, of all categories."""
    x = call.tensor(0)
    width = _count(call, "cats_int64s", "cats_strings") or call.symbols.fresh()
    return [Tensor((*dims_of(x), width), x.axis, x.before)]


def _feature_vectorizer(call: Call) -> list[Value]:
    tensors = [_matrix(call, at) for at in range(len(call.inputs))]
    first = tensors[0]
    for tensor in tensors:
        if len(dims_of(tensor)) != 2 or tensor.axis != first.axis or tensor.before != first.before:
            raise MixingError("not all of its inputs have the rows as samples")
        if dims_of(tensor)[0] != dims_of(first)[0]:
            raise MixingError("not all of its inputs have the rows as samples")
    # Narrower inputs are filled up to what the attribute says, wider ones cut.
    widths = call.integers("inputdimensions")
    whole = Size(sum(widths)) if widths and min(widths) > 0 else call.symbols.fresh()
    return [_columns(first, whole)]


def _array_feature_extractor(call: Call) -> list[Value]:
    """Picks along the last axis of X; of a vector X the result is [1, number of indices]."""
    x, indices = call.tensor(0), call.tensor(1)
    dims, index_dims = dims_of(x), dims_of(indices)
    many = times(*index_dims)
    if indices.axis is None:
        if len(dims) < 2 or x.axis == len(dims) - 1:
            if x.axis is not None:
                raise MixingError("it picks along the axis of the rows")
            return [Tensor((ONE, many))]
        return [Tensor((*dims[:-1], many), x.axis, x.before)]
    if x.axis is not None:
        raise MixingError("it picks from every row for every other row")
    outside = times(*index_dims[: indices.axis], indices.before)
    front = dims[:-1] if len(dims) > 1 else (ONE,)
    return [Tensor((*front, many), len(front), outside)]


def _zip_map(call: Call) -> list[Value]:
    """A map for each row, of its columns; the matrix is served in its place."""
    return [_matrix(call)]


RULES: Rules = {
    ("ai.onnx.ml", name): Rule(apply)
    for name, apply in {
        "TreeEnsembleClassifier": _classifier,
        "LinearClassifier": _classifier,
        "SVMClassifier": _vector_classifier,
        "TreeEnsembleRegressor": _regressor,
        "LinearRegressor": _regressor,
        "SVMRegressor": _regressor,
        "TreeEnsemble": _regressor,
        "Scaler": _same_matrix,
        "Normalizer": _same_matrix,
        "Imputer": _same_matrix,
        "Binarizer": _same,
        "LabelEncoder": _same,
        "CategoryMapper": _same,
        "OneHotEncoder": _one_hot,
        "FeatureVectorizer": _feature_vectorizer,
        "ArrayFeatureExtractor": _array_feature_extractor,
        "ZipMap": _zip_map,
    }.items()
}
