"""Inputs that nobody sent, of sizes and values that suit many models; pure.

What a model wants of its variable dimensions and of its values is not in its file, so several are tried: a
convolution needs more pixels than its window has, a decision tree wants texts that are numbers, an embedding
has few rows. Dimensions with one name have one size, and a sum of names (`past + sequence`, as exporters
write it) has the sum of their sizes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from modelservice_runtime.tensors import (
    BF16,
    BYTES,
    Array,
    TensorSpec,
    bf16_from_fp32,
    count_elements,
)

# A gigabyte of FP32.
MAX_ELEMENTS = 1 << 28
# First what layers and windows often have, then every number that features may.
_USUAL_SIZES = (2, 3, 8, 16, 32, 64, 128, 224, 384, 512)
_SIZES = tuple(dict.fromkeys((*_USUAL_SIZES, *range(4, 64), 80, 96, 100, 200, 256, 300, 768, 1024)))
_IMAGE_SIZES = (32, 64, 224, 384, 512)
_COLOURS = 3
_WORDS = ("warm up", "a", "of several words", "Text, with more: 42!", "ä", "")
_NUMBERS = ("1", "0", "1.5", "2", "-3", "12")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make inputs up.

    `size`: of variable dimensions but the first. `channel_axis`: the one that has three channels instead.
    `texts`: what BYTES are chosen from. `integers`: the numbers below this one. `lowest`: of floating
    point values, -1 for both signs. `constant`: the same everywhere instead: ones, and the first text.
    `shapes`: by the inputs' names, where somebody gave them.
    """

    size: int = 1
    channel_axis: int | None = None
    texts: Sequence[str] = _WORDS
    integers: int = 2
    lowest: float = -1.0
    constant: bool = True
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)


_CONSTANT = (Recipe(), Recipe(texts=_NUMBERS), Recipe(integers=1, texts=_NUMBERS))
_VARIED = (
    Recipe(constant=False),
    Recipe(constant=False, texts=_NUMBERS, lowest=0.0),
    Recipe(constant=False, texts=_NUMBERS, lowest=0.0, integers=1),
    Recipe(constant=False, texts=_NUMBERS, lowest=0.0, integers=100),
)


def first_recipes(specs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]]) -> Iterator[Recipe]:
    """What to try until a model runs, the smallest and most usual first."""
    usual = [replace(recipe, shapes=shapes) for recipe in _CONSTANT]
    yield from usual
    if all(-1 not in (spec.shape or ())[1:] for spec in specs):
        return
    for recipe in usual:
        yield from (replace(recipe, size=size) for size in _SIZES)
        if any(len(spec.shape or ()) >= 4 for spec in specs):
            for size in _IMAGE_SIZES:
                yield replace(recipe, size=size, channel_axis=1)
                yield replace(recipe, size=size, channel_axis=-1)


def varied_recipes(first: Recipe) -> Iterator[Recipe]:
    """Like one that a model ran on, with values that differ; dimensions of 1 hide much, so 3 comes first."""
    for size in dict.fromkeys((max(first.size, 3), first.size)):
        for recipe in _VARIED:
            yield replace(recipe, size=size, channel_axis=first.channel_axis, shapes=first.shapes)


def make_inputs(
    specs: Sequence[TensorSpec], recipe: Recipe, rows: int = 1, seed: int = 0
) -> dict[str, Array]:
    """An array for every input, with `rows` in a variable first dimension."""
    shapes = make_shapes(specs, recipe, rows)
    if recipe.constant:
        return {spec.name: _make_equal_values(spec, shapes[spec.name], recipe) for spec in specs}
    random = np.random.default_rng(seed)
    return {spec.name: _make_varied_values(spec, shapes[spec.name], recipe, random) for spec in specs}


def make_shapes(specs: Sequence[TensorSpec], recipe: Recipe, rows: int = 1) -> dict[str, list[int]]:
    """A shape for every input, by its name."""
    known = {spec.symbols[0]: rows for spec in specs if spec.shape and spec.shape[0] == -1 and spec.symbols}
    shapes = {}
    for spec in specs:
        shape = list(spec.shape or ())
        given = recipe.shapes.get(spec.name, shape)
        channel = recipe.channel_axis
        channel = None if channel is None or len(shape) < 4 else channel % len(shape)
        for axis, size in enumerate(shape):
            if size == -1:
                symbol = spec.symbols[axis] if spec.symbols else None
                usual = _COLOURS if axis == channel else recipe.size
                made = rows if axis == 0 else _size_of(symbol, known, usual)
                shape[axis] = made if axis == 0 or given[axis] == -1 else given[axis]
        shapes[spec.name] = shape
    return shapes


def count_inputs(specs: Sequence[TensorSpec], recipe: Recipe, rows: int = 1) -> int:
    """Elements of all inputs together."""
    return sum(count_elements(shape) for shape in make_shapes(specs, recipe, rows).values())


def _size_of(symbol: str | None, known: Mapping[str | None, int], usual: int) -> int:
    if symbol is None:
        return usual
    terms = [term.strip() for term in symbol.split("+")]
    return sum(int(term) if term.isdecimal() else known.get(term, usual) for term in terms)


def _make_equal_values(spec: TensorSpec, shape: list[int], recipe: Recipe) -> Array:
    if spec.datatype is BYTES:
        return np.full(shape, recipe.texts[0], dtype=object)
    if spec.datatype.is_float:
        return _as_datatype(spec, np.ones(shape, np.float32))
    return np.full(shape, recipe.integers - 1).astype(spec.datatype.numpy)


# The annotation is a text because numpy imports its generators late, and few servers need one.
def _make_varied_values(
    spec: TensorSpec, shape: list[int], recipe: Recipe, random: "np.random.Generator"
) -> Array:
    if spec.datatype is BYTES:
        texts = np.array(recipe.texts, dtype=object)
        # Without dimensions it would be a text and no array.
        return np.asarray(texts[random.integers(len(texts), size=shape)], dtype=object)
    if not spec.datatype.is_float:
        return np.asarray(random.integers(recipe.integers, size=shape), dtype=spec.datatype.numpy)
    values = np.asarray(random.standard_normal(shape, dtype=np.float32))
    return _as_datatype(spec, values if recipe.lowest < 0 else np.minimum(np.abs(values) / 4, np.float32(1)))


def _as_datatype(spec: TensorSpec, values: Array) -> Array:
    return bf16_from_fp32(values) if spec.datatype is BF16 else np.asarray(values, spec.datatype.numpy)
