"""Operators over images, sounds and volumes [samples, channels, ...]: the rows are the samples."""

from collections.abc import Callable

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.sizes import ONE, ROWS, MixingError, Size
from modelservice_runtime.onnx.rows.values import Tensor, Value, dims_of, with_dims


def samples(call: Call, at: int = 0) -> Tensor:
    """An input whose rows, if it has any, are its samples."""
    x = call.tensor(at)
    if x.axis not in (None, 0):
        raise MixingError(f"the rows lie along axis {x.axis} of its input, where the samples are axis 0")
    if len(dims_of(x)) < 2:
        raise MixingError("its input has no channels")
    return x


def _window_size(call: Call, x: Tensor, kernel: tuple[Size, ...], *, ceil: bool) -> tuple[Size, ...]:
    """The sizes that a window of `kernel` leaves of the spatial dimensions."""
    spatial = dims_of(x)[2:]
    count = len(spatial)
    strides = call.integers("strides") or (1,) * count
    dilations = call.integers("dilations") or (1,) * count
    pads = call.integers("pads") or (0,) * (2 * count)
    auto = call.text("auto_pad", "NOTSET")
    if not (len(kernel) == len(strides) == len(dilations) == count and len(pads) == 2 * count):
        raise MixingError("its attributes do not suit the rank of its input")
    return tuple(
        _window(call, spatial[i], kernel[i], (strides[i], dilations[i], pads[i], pads[i + count]), auto, ceil)
        for i in range(count)
    )


def _window(
    call: Call, size: Size, kernel: Size, numbers: tuple[int, int, int, int], auto: str, ceil: bool
) -> Size:
    stride, dilation, pads = *numbers[:2], sum(numbers[2:])
    if size.constant is None or kernel.constant is None or stride < 1:
        if auto in ("SAME_UPPER", "SAME_LOWER") and stride == 1:
            return size
        padded_alike = kernel.constant is not None and stride == 1 and not ceil and auto in ("", "NOTSET")
        if padded_alike and pads == dilation * ((kernel.constant or 1) - 1):
            return size
        return call.symbolic(f"window {numbers} {auto} {ceil}", size, kernel)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return Size(-(-size.constant // stride))
    room = size.constant + (0 if auto == "VALID" else pads) - dilation * (kernel.constant - 1) - 1
    if not ceil:
        return Size(max(room // stride + 1, 0))
    if room % stride == 0:
        return Size(room // stride + 1)
    # A last window that would begin in the padding is left out in newer versions only.
    return call.symbolic(f"{call.node.operator} ceil {numbers} {auto}", size, kernel)


def _convolved(call: Call, x: Tensor, weight: Tensor) -> Tensor:
    rank = len(dims_of(x))
    if weight.rank != rank:
        return with_dims(x, (dims_of(x)[0], *(call.symbols.fresh() for _ in range(rank - 1))))
    weight_dims = dims_of(weight)
    spatial = _window_size(call, x, weight_dims[2:], ceil=False)
    return with_dims(x, (dims_of(x)[0], weight_dims[0], *spatial))


def conv(call: Call) -> list[Value]:
    """Weights that are the same for all samples; FusedConv adds another tensor of the result's shape."""
    x = samples(call)
    call.check_fixed(1, 2)
    result = _convolved(call, x, call.tensor(1))
    added = call.get(3)
    if added is not None and _place_of_rows(added) != _place_of_rows(result):
        raise MixingError("what it adds does not have the same rows")
    return [result]


def _place_of_rows(tensor: Tensor) -> tuple[int | None, Size, Size | None]:
    """Where the rows are: equal for tensors whose rows lie at the same places."""
    axis = tensor.axis
    return axis, tensor.before, None if axis is None else dims_of(tensor)[axis]


def qlinear_conv(call: Call) -> list[Value]:
    """Input 0 [samples, channels, ...]; the rest is the same for all samples."""
    x = samples(call)
    call.check_fixed(*range(1, 9))
    if call.integer("channels_last", 0):
        return [_channels_last(call, x)]
    return [_convolved(call, x, call.tensor(3))]


def conv_integer(call: Call) -> list[Value]:
    """Zero points are the same for all samples."""
    x = samples(call)
    call.check_fixed(1, 2, 3)
    return [_convolved(call, x, call.tensor(1))]


def _channels_last(call: Call, x: Tensor) -> Tensor:
    dims = dims_of(x)
    return with_dims(x, (dims[0], *(call.symbols.fresh() for _ in dims[1:])))


def same_rank(call: Call) -> list[Value]:
    """[samples, ...] to [samples, ...] of the same rank, whose other dimensions are not followed."""
    x = samples(call)
    call.check_fixed(*range(1, len(call.inputs)))
    return [_channels_last(call, x)]


def _conv_transpose(call: Call) -> list[Value]:
    x = samples(call)
    call.check_fixed(1, 2)
    dims, weight = dims_of(x), call.tensor(1)
    group = call.integer("group", 1)
    known = weight.dims is not None and len(weight.dims) == len(dims)
    channels = dims_of(weight)[1] if known else call.symbols.fresh()
    if known:
        channels = Size(channels.factor * group, channels.symbols)
    return [with_dims(x, (dims[0], channels, *_transposed_sizes(call, x, weight)))]


def _transposed_sizes(call: Call, x: Tensor, weight: Tensor) -> list[Size]:
    spatial = dims_of(x)[2:]
    count = len(spatial)
    kernel = dims_of(weight)[2:] if weight.rank == count + 2 else ()
    plain = call.text("auto_pad", "NOTSET") in ("", "NOTSET") and call.integers("output_shape") is None
    if len(kernel) != count or not plain:
        return [call.symbols.fresh() for _ in spatial]
    strides = call.integers("strides") or (1,) * count
    dilations = call.integers("dilations") or (1,) * count
    more = call.integers("output_padding") or (0,) * count
    pads = call.integers("pads") or (0,) * (2 * count)
    sizes = []
    for i, size in enumerate(spatial):
        window = kernel[i].constant
        if size.constant is None or window is None:
            sizes.append(call.symbols.fresh())
            continue
        long = strides[i] * (size.constant - 1) + more[i] + (window - 1) * dilations[i] + 1
        sizes.append(Size(max(long - pads[i] - pads[i + count], 0)))
    return sizes


def _pool(call: Call) -> list[Value]:
    """The second output of MaxPool counts through all samples, so it tells a row its place in the batch."""
    x = samples(call)
    kernel = tuple(Size(size) for size in call.integers("kernel_shape") or ())
    spatial = _window_size(call, x, kernel, ceil=bool(call.integer("ceil_mode", 0)))
    return [with_dims(x, (*dims_of(x)[:2], *spatial))]


def _global_pool(call: Call) -> list[Value]:
    x = samples(call)
    dims = dims_of(x)
    return [with_dims(x, (*dims[:2], *(ONE for _ in dims[2:])))]


def unchanged(call: Call) -> list[Value]:
    """[samples, channels, ...], each sample by itself; other inputs are the same for all."""
    x = samples(call)
    call.check_fixed(*range(1, len(call.inputs)))
    return [with_dims(x, dims_of(x))]


def _depth_to_space(call: Call) -> list[Value]:
    x = samples(call)
    dims = dims_of(x)
    block = call.integer("blocksize", 1)
    if len(dims) != 4 or block < 1:
        raise MixingError("its input is no image")
    if call.node.operator == "SpaceToDepth":
        spatial = [_divided(call, dim, block) for dim in dims[2:]]
        return [with_dims(x, (dims[0], Size(dims[1].factor * block**2, dims[1].symbols), *spatial))]
    larger = [Size(dim.factor * block, dim.symbols) for dim in dims[2:]]
    return [with_dims(x, (dims[0], _divided(call, dims[1], block**2), *larger))]


def _divided(call: Call, dim: Size, by: int) -> Size:
    if dim.factor % by == 0:
        return Size(dim.factor // by, dim.symbols)
    return call.symbolic(f"divided by {by}", dim)


def _per_sample(*others: int) -> Callable[[Call], list[Value]]:
    """Every input in `others` has the samples of input 0; the rest has none."""

    def rule(call: Call) -> list[Value]:
        x = samples(call)
        rest = [at for at in range(1, len(call.inputs)) if at not in others]
        call.check_fixed(*rest)
        for at in others:
            if call.has(at) and _place_of_rows(call.tensor(at)) != _place_of_rows(x):
                raise MixingError("its inputs do not have the same samples")
        return [_channels_last(call, x)]

    return rule


def _grid_sample(call: Call) -> list[Value]:
    """X [samples, channels, ...] at the places in grid [samples, ..., rank]."""
    x, grid = samples(call), samples(call, 1)
    if _place_of_rows(x) != _place_of_rows(grid):
        raise MixingError("its inputs do not have the same samples")
    return [with_dims(x, (*dims_of(x)[:2], *dims_of(grid)[1:-1]))]


def _affine_grid(call: Call) -> list[Value]:
    """Theta [samples, ...] and the size of the images, which begins with the number of samples."""
    theta = samples(call)
    size = call.values(1)
    if theta.axis is None or size is None or not all(isinstance(number, Size) for number in size):
        raise MixingError("the size of its grid is not known")
    sizes = [number for number in size if isinstance(number, Size)]
    if sizes[0] != ROWS or dims_of(theta)[0] != ROWS:
        raise MixingError("its grids are not one per row")
    return [Tensor((ROWS, *sizes[2:], Size(len(sizes) - 2)), 0)]


RULES: Rules = {
    ("", "Conv"): Rule(conv),
    ("", "ConvInteger"): Rule(conv_integer),
    ("", "ConvTranspose"): Rule(_conv_transpose),
    ("", "QLinearConv"): Rule(qlinear_conv),
    ("", "DeformConv"): Rule(_per_sample(2, 4)),
    ("", "MaxPool"): Rule(_pool),
    ("", "AveragePool"): Rule(_pool),
    ("", "LpPool"): Rule(_pool),
    ("", "GlobalAveragePool"): Rule(_global_pool),
    ("", "GlobalMaxPool"): Rule(_global_pool),
    ("", "GlobalLpPool"): Rule(_global_pool),
    ("", "LRN"): Rule(unchanged),
    ("", "DepthToSpace"): Rule(_depth_to_space),
    ("", "SpaceToDepth"): Rule(_depth_to_space),
    ("", "GridSample"): Rule(_grid_sample),
    ("", "AffineGrid"): Rule(_affine_grid, sizes=frozenset({1})),
    ("com.microsoft", "FusedConv"): Rule(conv),
    ("com.microsoft", "NhwcConv"): Rule(same_rank),
    ("com.microsoft", "NhwcFusedConv"): Rule(_per_sample(3)),
    ("com.microsoft", "NhwcMaxPool"): Rule(same_rank),
    ("com.microsoft", "QLinearConv"): Rule(qlinear_conv),
}
