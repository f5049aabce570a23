"""Operators that scale axes: never that of the rows."""

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules, whole_axis
from modelservice_runtime.onnx.rows.sizes import MixingError, Number, Size, times
from modelservice_runtime.onnx.rows.values import Tensor, Value, dims_of

_Numbers = tuple[Number, ...] | None


def _resize(call: Call) -> list[Value]:
    """By scales or to sizes, which must leave the axis of the rows as it is."""
    x = call.tensor(0)
    dims = dims_of(x)
    upsample = call.node.operator == "Upsample"
    at_scales = 1 if upsample or call.version < 11 else 2
    at_sizes = 3
    call.check_fixed(1 if at_scales == 2 else at_scales, at_scales)
    given = call.integers("axes")
    axes = tuple(whole_axis(axis, len(dims)) for axis in given) if given else tuple(range(len(dims)))
    sizes = call.values(at_sizes) if at_scales == 2 and call.has(at_sizes) else None
    _check_sizes(call.get(at_sizes), sizes, None if x.axis not in axes else axes.index(x.axis))
    keeps_aspect = call.text("keep_aspect_ratio_policy", "stretch") != "stretch"
    if x.axis in axes:
        _check_coordinates(call)
        place = axes.index(x.axis)
        wanted = dims[x.axis]
        scales = _scales(call, at_scales)
        by_size = (
            sizes is not None and len(sizes) == len(axes) and sizes[place] == wanted and not keeps_aspect
        )
        by_scale = sizes is None and scales is not None and len(scales) == len(axes) and scales[place] == 1.0
        if not (by_size or by_scale):
            raise MixingError("it may change the size of the axis of the rows")
    return [Tensor(_resized(call, x, axes, () if keeps_aspect else sizes), x.axis, x.before)]


def _check_sizes(given: Tensor | None, sizes: _Numbers, of_rows: int | None) -> None:
    """Only the axis of the rows may become as long as there are rows."""
    others = [size for at, size in enumerate(sizes or ()) if at != of_rows]
    of_batch = any(isinstance(size, Size) and size.of_batch for size in others)
    if of_batch or (given is not None and given.axis is not None):
        raise MixingError("the rows say to which size it brings other axes")


def _check_coordinates(call: Call) -> None:
    """By most rules a scale of 1 leaves an axis as it is."""
    rule = call.text("coordinate_transformation_mode", "half_pixel")
    rounding = call.text("nearest_mode", "round_prefer_floor")
    shifts = rule == "tf_half_pixel_for_nn" and rounding not in ("round_prefer_floor", "floor")
    if rule == "tf_crop_and_resize" or shifts:
        raise MixingError("it may take a row from another place")


def _scales(call: Call, at: int) -> tuple[Number, ...] | None:
    attribute = call.attribute("scales")
    return attribute.reals() if attribute is not None else call.values(at)


def _resized(call: Call, x: Tensor, axes: tuple[int, ...], sizes: _Numbers) -> tuple[Size, ...]:
    result = []
    for at, dim in enumerate(dims_of(x)):
        known = sizes[axes.index(at)] if sizes and at in axes and len(sizes) == len(axes) else None
        if at == x.axis or at not in axes:
            result.append(dim)
        elif isinstance(known, Size) and known.is_size and not known.of_batch:
            result.append(known)
        else:
            result.append(_scaled(call, x, at, axes))
    return tuple(result)


def _scaled(call: Call, x: Tensor, at: int, axes: tuple[int, ...]) -> Size:
    scales = _scales(call, 1 if call.node.operator == "Upsample" or call.version < 11 else 2)
    dim = dims_of(x)[at]
    if not scales or len(scales) != len(axes):
        return call.symbols.fresh()
    scale = scales[axes.index(at)]
    if not isinstance(scale, float):
        return call.symbols.fresh()
    if scale.is_integer() and scale >= 1:
        return times(dim, Size(int(scale)))
    return call.symbols.derived("Resize", dim, scale)


RULES: Rules = {
    ("", "Resize"): Rule(_resize, sizes=frozenset({3})),
    ("", "Upsample"): Rule(_resize),
}
