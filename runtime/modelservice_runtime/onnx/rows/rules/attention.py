"""Attention and embeddings as ONNX Runtime's transformer fusions and newer ONNX versions write them."""

from dataclasses import dataclass

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.sizes import ONE, ROWS, MixingError, Size
from modelservice_runtime.onnx.rows.values import Tensor, Value, dims_of, rows_first


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Where an operator has the samples along axis 0, and along axis 1; `shared` may be the same for all.

    `shared` inputs are broadcast along the samples: they have rows along axis 0 or one part for all. The
    rest has nothing to do with samples.
    """

    samples: frozenset[int]
    second: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()


def _check(call: Call, inputs: _Inputs) -> bool:
    """True where there are rows. Raises MixingError where some input does not have them as it should."""
    tensors = [(at, tensor) for at, tensor in enumerate(call.inputs) if tensor is not None]
    if all(tensor.axis is None for _, tensor in tensors):
        return False
    for at, tensor in tensors:
        if at in inputs.refused:
            raise MixingError(f"its input {at} may pick from other rows")
        if at in inputs.samples or at in inputs.second:
            place = int(at in inputs.second)
            if tensor.axis != place or dims_of(tensor)[place] != ROWS:
                raise MixingError(f"its input {at} does not have the rows as its samples")
        elif at in inputs.shared:
            _check_shared(tensor, at)
        else:
            call.check_fixed(at)
    return True


def _check_shared(tensor: Tensor, at: int) -> None:
    dims = dims_of(tensor)
    has_rows = tensor.axis == 0 and dims[0] == ROWS
    if not has_rows and (tensor.axis is not None or (dims and dims[0] != ONE)):
        raise MixingError(f"its input {at} does not have the rows as its samples")


def _fresh(call: Call, count: int) -> tuple[Size, ...]:
    return tuple(call.symbols.fresh() for _ in range(count))


def _samples(call: Call, inputs: _Inputs, ranks: tuple[int, ...]) -> list[Value]:
    """Outputs of these ranks with the samples along axis 0; unknown without rows."""
    if not _check(call, inputs):
        return [Tensor(None) for _ in ranks]
    return [rows_first(*_fresh(call, rank - 1)) for rank in ranks]


def _attention(call: Call) -> list[Value]:
    """com.microsoft.Attention: input, weights, bias, mask, past [2, samples, ...], mask to add."""
    inputs = _Inputs(frozenset({0, 3}), second=frozenset({4}), shared=frozenset({5}))
    if not _check(call, inputs):
        return [Tensor(None), Tensor(None)]
    dims = dims_of(call.tensor(0))
    hidden = _hidden(call, call.get(2))
    present = Tensor((Size(2), ROWS, *_fresh(call, 3)), 1)
    return [rows_first(dims[1], hidden), present]


def _hidden(call: Call, bias: Tensor | None) -> Size:
    """A third of the bias of the three projections, or what an attribute says about the values."""
    sizes = call.integers("qkv_hidden_sizes")
    if sizes:
        return Size(sizes[-1])
    long = None if bias is None or bias.rank != 1 else dims_of(bias)[0].constant
    return Size(long // 3) if long is not None and long % 3 == 0 else call.symbols.fresh()


def _quantized_attention(call: Call) -> list[Value]:
    inputs = _Inputs(frozenset({0, 5}), second=frozenset({8}))
    if not _check(call, inputs):
        return [Tensor(None), Tensor(None)]
    dims = dims_of(call.tensor(0))
    present = Tensor((Size(2), ROWS, *_fresh(call, 3)), 1)
    return [rows_first(dims[1], _hidden(call, call.get(2))), present]


def _multi_head(call: Call) -> list[Value]:
    """Query, key, value, bias, two masks, past key and value, length, indirection of a beam search."""
    inputs = _Inputs(frozenset({0, 1, 2, 4, 6, 7}), shared=frozenset({5}), refused=frozenset({9}))
    if not _check(call, inputs):
        return [Tensor(None)] * 4
    query, value = dims_of(call.tensor(0)), call.get(2)
    hidden = dims_of(value)[-1] if value is not None and value.rank == 3 else call.symbols.fresh()
    if value is None and len(query) == 3:
        hidden = query[-1]
    cache = [rows_first(*_fresh(call, 3)) for _ in range(3)]
    return [rows_first(query[1], hidden), *cache]


def _grouped_query(call: Call) -> list[Value]:
    """Query, key, value, past key and value, lengths, total length, cos, sin, position_ids, bias."""
    inputs = _Inputs(frozenset({0, 1, 2, 3, 4, 5, 9}), shared=frozenset({10}))
    if not _check(call, inputs):
        return [Tensor(None)] * 3
    query = dims_of(call.tensor(0))
    hidden = query[-1] if call.has(1) else call.symbols.fresh()
    return [rows_first(query[1], hidden), *(rows_first(*_fresh(call, 3)) for _ in range(2))]


def _standard(call: Call) -> list[Value]:
    """ONNX's Attention: Q, K, V, mask (broadcast to 4 dimensions), past_key, past_value, lengths."""
    mask = call.get(3)
    inputs = _Inputs(frozenset({0, 1, 2, 4, 5, 6}), shared=frozenset({3}))
    if mask is not None and mask.axis is None and mask.rank is not None and mask.rank < 4:
        inputs = _Inputs(frozenset({0, 1, 2, 4, 5, 6}))
    elif mask is not None and mask.rank != 4:
        raise MixingError("its mask does not have the rows as its samples")
    if not _check(call, inputs):
        return [Tensor(None)] * 4
    query, value = dims_of(call.tensor(0)), dims_of(call.tensor(2))
    cache = [rows_first(*_fresh(call, 3)) for _ in range(3)]
    if len(query) == 4:
        return [rows_first(*query[1:3], value[-1]), *cache]
    same = call.integer("q_num_heads", 0) == call.integer("kv_num_heads", 0)
    return [rows_first(query[1], value[-1] if same else call.symbols.fresh()), *cache]


def _rotary(call: Call) -> list[Value]:
    """ONNX's RotaryEmbedding: X, cos, sin, position_ids; without ids the angles are those of the samples."""
    inputs = _Inputs(frozenset({0, 3}), shared=frozenset() if call.has(3) else frozenset({1, 2}))
    return _kept(call, inputs)


def _rotary_contrib(call: Call) -> list[Value]:
    """com.microsoft's: X, position_ids ([1] is an offset for all, else [samples, steps]), cos, sin."""
    return _kept(call, _Inputs(frozenset({0}), shared=frozenset({1})))


def _kept(call: Call, inputs: _Inputs) -> list[Value]:
    x = call.tensor(0)
    return [Tensor(x.dims, 0)] if _check(call, inputs) else [Tensor(x.dims)]


def _embedding(call: Call) -> list[Value]:
    """Ids and segments [samples, steps], three tables, scale, bias, mask and position ids."""
    inputs = _Inputs(frozenset({0, 1, 7}), shared=frozenset({8}))
    return _embedded(call, inputs, call.tensor(2))


def _quantized_embedding(call: Call) -> list[Value]:
    return _embedded(call, _Inputs(frozenset({0, 1, 7})), call.tensor(2))


def _embedded(call: Call, inputs: _Inputs, table: Tensor) -> list[Value]:
    if not _check(call, inputs):
        return [Tensor(None)] * 3
    ids = dims_of(call.tensor(0))
    out = rows_first(*ids[1:], dims_of(table)[-1])
    return [out, rows_first(), out]


def _relative_position_bias(call: Call) -> list[Value]:
    """The same for all samples: [1, heads, steps, steps]."""
    call.check_fixed(0, 1, 2)
    return [Tensor((ONE, *_fresh(call, 3)))]


def _gated_relative_position_bias(call: Call) -> list[Value]:
    """query_layer [samples, steps, hidden] and a bias [1, heads, steps, steps] to one bias per sample."""
    return _samples(call, _Inputs(frozenset({0}), shared=frozenset({2})), (4,))


_RULES = {
    "Attention": _attention,
    "QAttention": _quantized_attention,
    "MultiHeadAttention": _multi_head,
    "GroupQueryAttention": _grouped_query,
    "EmbedLayerNormalization": _embedding,
    "QEmbedLayerNormalization": _quantized_embedding,
    "RotaryEmbedding": _rotary_contrib,
    "RelativePositionBias": _relative_position_bias,
    "GatedRelativePositionBias": _gated_relative_position_bias,
}

RULES: Rules = {
    ("", "Attention"): Rule(_standard),
    ("", "RotaryEmbedding"): Rule(_rotary),
    **{("com.microsoft", name): Rule(apply) for name, apply in _RULES.items()},
}
