"""Products of matrices: rows may be rows of a matrix or whole matrices of a stack, but never summed over."""

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.sizes import ONE, MixingError, Size
from modelservice_runtime.onnx.rows.values import UNKNOWN, Tensor, Value, broadcast, dims_of, with_dims

_SUMMED = "it sums over the axis of the rows"


def matmul(call: Call, a: Tensor, b: Tensor) -> Tensor:
    """The matmul of numpy, of `a` [..., m, k] and `b` [..., k, n]."""
    if a.dims is None or b.dims is None:
        if a.is_fixed and b.is_fixed:
            return UNKNOWN
        raise MixingError("the rank of one of its inputs is not known")
    left, right = _at_least_matrix(a, in_front=True), _at_least_matrix(b, in_front=False)
    stack, rows, columns = _stack(call, left, right), *_outer_dims(left, right)
    if sum(part.axis is not None for part in (stack, rows, columns)) > 1:
        raise MixingError("it multiplies rows with other rows")
    result = _joined(stack, rows, columns)
    return _without_added_dims(result, len(a.dims) == 1, len(b.dims) == 1)


def _at_least_matrix(tensor: Tensor, *, in_front: bool) -> Tensor:
    dims = dims_of(tensor)
    if not dims:
        raise MixingError("one of its inputs has no dimensions")
    if len(dims) > 1:
        return tensor
    if tensor.axis is not None:
        raise MixingError(_SUMMED)
    return Tensor((ONE, dims[0]) if in_front else (dims[0], ONE))


def _stack(call: Call, a: Tensor, b: Tensor) -> Tensor:
    """The dimensions in front of the matrices, broadcast."""
    return broadcast(call.symbols, *(_in_front(tensor) for tensor in (a, b)))


def _in_front(tensor: Tensor) -> Tensor:
    dims = dims_of(tensor)[:-2]
    inside = tensor.axis is not None and tensor.axis < len(dims)
    return Tensor(dims, tensor.axis, tensor.before) if inside else Tensor(dims)


def _outer_dims(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of `a` and the columns of `b`, each as a tensor of one dimension."""
    a_dims, b_dims = dims_of(a), dims_of(b)
    if a.axis == len(a_dims) - 1 or b.axis == len(b_dims) - 2:
        raise MixingError(_SUMMED)
    rows = Tensor(a_dims[-2:-1], 0 if a.axis == len(a_dims) - 2 else None, a.before)
    columns = Tensor(b_dims[-1:], 0 if b.axis == len(b_dims) - 1 else None, b.before)
    return rows, columns


def _joined(stack: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    dims = (*dims_of(stack), *dims_of(rows), *dims_of(columns))
    depth = len(dims) - 2
    if rows.axis is not None:
        return Tensor(dims, depth, rows.before)
    if columns.axis is not None:
        return Tensor(dims, depth + 1, columns.before)
    return Tensor(dims, stack.axis, stack.before)


def _without_added_dims(result: Tensor, first: bool, last: bool) -> Tensor:
    dims, axis = dims_of(result), result.axis
    if first:
        dims = (*dims[:-2], dims[-1])
        axis = axis - 1 if axis == len(dims) else axis
    if last:
        dims = dims[:-1]
    return Tensor(dims, axis, result.before)


def transposed(tensor: Tensor, flag: int) -> Tensor:
    """The last two dimensions swapped, where `flag` is set."""
    if not flag or tensor.dims is None:
        return tensor
    dims = tensor.dims
    if len(dims) < 2:
        return tensor
    axis = tensor.axis
    if axis is not None and axis >= len(dims) - 2:
        axis = 2 * len(dims) - 3 - axis
    return Tensor((*dims[:-2], dims[-1], dims[-2]), axis, tensor.before)


def _matmul(call: Call) -> list[Value]:
    return [matmul(call, call.tensor(0), call.tensor(1))]


def _fused_matmul(call: Call) -> list[Value]:
    a, b = (
        transposed(_first_as_rows(call.tensor(at), call.integer(f"transBatch{name}", 0)), flag)
        for at, name, flag in ((0, "A", call.integer("transA", 0)), (1, "B", call.integer("transB", 0)))
    )
    return [matmul(call, a, b)]


def _first_as_rows(tensor: Tensor, flag: int) -> Tensor:
    """The first dimension behind all others of the stack, where `flag` is set."""
    if not flag:
        return tensor
    dims = dims_of(tensor)
    last = len(dims) - 1
    axis = tensor.axis
    if axis is not None and axis < last:
        axis = axis - 1 if axis else last - 1
    return Tensor((*dims[1:last], dims[0], dims[last]), axis, tensor.before)


def _gemm(call: Call) -> list[Value]:
    a = transposed(call.tensor(0), call.integer("transA", 0))
    b = transposed(call.tensor(1), call.integer("transB", 0))
    product = matmul(call, a, b)
    c = call.get(2)
    return [product if c is None else broadcast(call.symbols, product, c)]


def weighted(call: Call, columns: Size | None = None) -> Tensor:
    """A [..., k] by packed weights, whose other dimension becomes the last one; only input 0 has rows."""
    x = call.tensor(0)
    call.check_fixed(*range(1, len(call.inputs)))
    dims = dims_of(x)
    if x.axis == len(dims) - 1:
        raise MixingError(_SUMMED)
    return with_dims(x, (*dims[:-1], columns or call.symbols.fresh()))


def _matmul_packed(call: Call) -> list[Value]:
    """MatMulNBits and its like: N columns; what a row is multiplied with is the same for all."""
    return [weighted(call, Size(call.integer("N", 0)) if call.integer("N", 0) > 0 else None)]


def _einsum(call: Call) -> list[Value]:
    """One letter stands for the rows: once in each input that has rows, once in the result."""
    tensors = [tensor for tensor in call.inputs if tensor is not None]
    terms, result = _equation(call, [dims_of(tensor) for tensor in tensors])
    sizes: dict[str, Size] = {}
    of_rows: dict[str, Tensor] = {}
    for tensor, term in zip(tensors, terms, strict=True):
        sizes.update({name: dim for name, dim in zip(term, dims_of(tensor), strict=True) if dim != ONE})
        if tensor.axis is not None:
            of_rows[term[tensor.axis]] = tensor
    if not of_rows:
        return [Tensor(tuple(sizes.get(name, ONE) for name in result))]
    _check_letters(tensors, terms, result, of_rows)
    letter, tensor = next(iter(of_rows.items()))
    return [Tensor(tuple(sizes.get(name, ONE) for name in result), result.index(letter), tensor.before)]


def _check_letters(
    tensors: list[Tensor], terms: list[list[str]], result: list[str], of_rows: dict[str, Tensor]
) -> None:
    letter, first = next(iter(of_rows.items()))
    if len(of_rows) > 1 or result.count(letter) != 1:
        raise MixingError("it sums over the rows, or pairs them with others")
    for tensor, term in zip(tensors, terms, strict=True):
        expected = 0 if tensor.axis is None else 1
        if term.count(letter) != expected:
            raise MixingError("it pairs the rows with another axis")
        if tensor.axis is not None:
            same = dims_of(tensor)[tensor.axis] == dims_of(first)[first.axis or 0]
            if not same or tensor.before != first.before:
                raise MixingError("the rows of its inputs lie in different orders")


def _equation(call: Call, shapes: list[tuple[Size, ...]]) -> tuple[list[list[str]], list[str]]:
    """The names of the axes of each input and of the result; those of an ellipsis count from the right."""
    equation = call.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    texts = left.split(",")
    if len(texts) != len(shapes):
        raise MixingError("its equation has another number of inputs")
    terms = [_axis_names(text, len(dims)) for text, dims in zip(texts, shapes, strict=True)]
    if arrow:
        longest = max(len([n for n in term if n.startswith(".")]) for term in terms)
        return terms, _axis_names(right, longest + len(right.replace("...", "")))
    names = [name for term in terms for name in term]
    dots = sorted({name for name in names if name.startswith(".")}, reverse=True)
    return terms, [*dots, *sorted(n for n in set(names) if names.count(n) == 1 and not n.startswith("."))]


def _axis_names(term: str, rank: int) -> list[str]:
    front, dots, back = term.partition("...")
    hidden = rank - len(front) - len(back)
    if hidden < 0 or (hidden and not dots):
        raise MixingError("its equation does not suit the ranks of its inputs")
    return [*front, *(f".{hidden - at:03}" for at in range(hidden)), *back]


def _cdist(call: Call) -> list[Value]:
    """Distances between all rows of A [m, k] and of B [n, k]."""
    a, b = call.tensor(0), transposed(call.tensor(1), 1)
    return [matmul(call, a, b)]


RULES: Rules = {
    ("", "MatMul"): Rule(_matmul),
    ("", "Gemm"): Rule(_gemm),
    ("", "Einsum"): Rule(_einsum),
    ("com.microsoft", "FusedMatMul"): Rule(_fused_matmul),
    ("com.microsoft", "TransposeMatMul"): Rule(_fused_matmul),
    ("com.microsoft", "FusedGemm"): Rule(_gemm),
    ("com.microsoft", "GemmFastGelu"): Rule(_gemm),
    ("com.microsoft", "MatMulNBits"): Rule(_matmul_packed),
    ("com.microsoft", "MatMulBnb4"): Rule(_matmul_packed),
    ("com.microsoft", "CDist"): Rule(_cdist),
}
