"""Which differences of inputs and outputs break clients."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.signatures import signatures, tensors

from modelservice_operator.decide.gates.contract import find_breaks
from modelservice_operator.facts.signature import Signature, Tensor


def tensor(text: str) -> Tensor:
    """`x FP32 -1 4`; `?` for an unknown rank; a name that ends in `=` is optional."""
    name, datatype, *shape = text.split()
    dimensions = None if shape == ["?"] else tuple(map(int, shape))
    return Tensor(name.removesuffix("="), datatype, dimensions, name.endswith("="))


def inputs(*texts: str) -> Signature:
    return Signature(tuple(map(tensor, texts)), ())


def outputs(*texts: str) -> Signature:
    return Signature((), tuple(map(tensor, texts)))


@pytest.mark.parametrize(
    ("stable", "candidate"),
    [
        (inputs("x FP32 -1 4"), inputs("x FP32 -1 4")),
        (inputs("x FP32 8 4"), inputs("x FP32 -1 4")),
        (inputs("x FP32 0"), inputs("x FP32 -1")),
        (inputs("x FP32"), inputs("x FP32")),
        (inputs("x FP32 1"), inputs("x FP32 ?")),
        (inputs("x FP32"), inputs("x FP32 ?")),
        (inputs("x FP32 ?"), inputs("x FP32 ?")),
        (inputs("x FP32 1", "y INT64 1"), inputs("y INT64 1", "x FP32 1")),
        (inputs("x FP32 1"), inputs("x FP32 1", "mask= BOOL 1")),
        (inputs("x FP32 1"), inputs("x= FP32 1")),
        (inputs("x= FP32 1"), inputs("x= FP32 1")),
        (outputs("y FP32 -1 4"), outputs("y FP32 8 4")),
        (outputs("y FP32 -1"), outputs("y FP32 -1", "z INT64 1")),
        (outputs("y FP32 ?"), outputs("y FP32 -1")),
        (outputs("y FP32 1", "z FP32 1"), outputs("z FP32 1", "y FP32 1")),
        (inputs(), outputs("y FP32 1")),
    ],
)
def test_find_breaks_candidate_that_takes_and_gives_as_much_none(
    stable: Signature, candidate: Signature
) -> None:
    assert find_breaks(stable, candidate) == ()


SENDS = 'input "x": clients send '
READS = 'output "y": clients read '
TAKES = ", the candidate takes"
GIVES = ", the candidate gives"


@pytest.mark.parametrize(
    ("stable", "candidate", "expected"),
    [
        (inputs("x FP32 -1 4"), inputs("x FP32 -1 5"), f"{SENDS}FP32 [-1, 4]{TAKES} FP32 [-1, 5]"),
        (inputs("x FP32 -1 4"), inputs("x FP64 -1 4"), f"{SENDS}FP32 [-1, 4]{TAKES} FP64 [-1, 4]"),
        (inputs("x FP32 -1 4"), inputs("x FP32 1 4"), f"{SENDS}FP32 [-1, 4]{TAKES} FP32 [1, 4]"),
        (inputs("x FP32 4"), inputs("x FP32 4 1"), f"{SENDS}FP32 [4]{TAKES} FP32 [4, 1]"),
        (inputs("x FP32 4 1"), inputs("x FP32 4"), f"{SENDS}FP32 [4, 1]{TAKES} FP32 [4]"),
        (inputs("x FP32"), inputs("x FP32 -1"), f"{SENDS}FP32 []{TAKES} FP32 [-1]"),
        (inputs("x FP32 0"), inputs("x FP32 1"), f"{SENDS}FP32 [0]{TAKES} FP32 [1]"),
        (inputs("x FP32 ?"), inputs("x FP32 -1"), f"{SENDS}FP32 of any shape{TAKES} FP32 [-1]"),
        (inputs("x BYTES -1"), inputs("X= BYTES -1"), f"{SENDS}BYTES [-1], the candidate has no such input"),
        (
            inputs("x FP32 1"),
            inputs("x FP32 1", "z INT64 -1 8"),
            'input "z": clients do not send it, the candidate needs INT64 [-1, 8]',
        ),
        (
            inputs("x= FP32 1"),
            inputs("x FP32 1"),
            'input "x": clients may leave it out, the candidate needs FP32 [1]',
        ),
        (outputs("y FP32 -1 2"), outputs(), f"{READS}FP32 [-1, 2], the candidate has no such output"),
        (outputs("y FP32 -1 2"), outputs("y FP32 -1 3"), f"{READS}FP32 [-1, 2]{GIVES} FP32 [-1, 3]"),
        (outputs("y FP32 8"), outputs("y FP32 -1"), f"{READS}FP32 [8]{GIVES} FP32 [-1]"),
        (outputs("y FP32 8"), outputs("y BF16 8"), f"{READS}FP32 [8]{GIVES} BF16 [8]"),
        (outputs("y FP32 -1"), outputs("y FP32"), f"{READS}FP32 [-1]{GIVES} FP32 []"),
        (outputs("y FP32 -1"), outputs("y FP32 ?"), f"{READS}FP32 [-1]{GIVES} FP32 of any shape"),
    ],
)  # fmt: skip
def test_find_breaks_difference_that_clients_notice_is_told(
    stable: Signature, candidate: Signature, expected: str
) -> None:
    assert find_breaks(stable, candidate) == (expected,)


def test_find_breaks_renamed_input_is_missing_and_new() -> None:
    assert find_breaks(inputs("x FP32 1"), inputs("z FP32 1")) == (
        'input "x": clients send FP32 [1], the candidate has no such input',
        'input "z": clients do not send it, the candidate needs FP32 [1]',
    )


def test_find_breaks_names_are_one_short_line() -> None:
    hostile = Signature((Tensor('a"\n' + "b" * 250, "FP32", ()),), ())

    (sentence,) = find_breaks(hostile, Signature((), ()))

    assert sentence.startswith('input "a\\"\\nbbb')
    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 200


@given(signatures())
def test_find_breaks_same_signature_none(signature: Signature) -> None:
    assert find_breaks(signature, signature) == ()


def widened(draw: Any, one: Tensor) -> Tensor:
    """A tensor that everything fits that fits `one`."""
    if one.shape is None or draw(st.integers(0, 5)) == 0:
        return Tensor(one.name, one.datatype, None, one.optional)
    shape = tuple(draw(st.sampled_from((size, -1))) for size in one.shape)
    return Tensor(one.name, one.datatype, shape, one.optional)


def others(draw: Any, known: tuple[Tensor, ...], *, optional: bool) -> list[Tensor]:
    """Tensors of other names."""
    names = {one.name for one in known}
    return [one for one in draw(tensors(st.just(optional))) if one.name not in names]


@given(st.data(), signatures())
def test_find_breaks_candidate_that_accepts_more_and_promises_more_none(
    data: st.DataObject, candidate: Signature
) -> None:
    draw = data.draw
    wider = [widened(draw, one) for one in candidate.inputs]
    more = draw(st.permutations([*wider, *others(draw, candidate.inputs, optional=True)]))
    accepting = Signature(tuple(more), candidate.outputs)
    assert find_breaks(candidate, accepting) == ()

    vague = Signature(candidate.inputs, tuple(widened(draw, one) for one in candidate.outputs))
    further = draw(st.permutations([*candidate.outputs, *others(draw, candidate.outputs, optional=False)]))
    assert find_breaks(vague, Signature(candidate.inputs, tuple(further))) == ()


@given(st.data(), signatures())
def test_find_breaks_what_becomes_narrower_is_told_once(data: st.DataObject, stable: Signature) -> None:
    """Each sentence is about another tensor, and there is one exactly for those that changed."""
    narrower = [
        one
        if data.draw(st.booleans())
        else Tensor(one.name, one.datatype, (7, *(one.shape or ())), one.optional)
        for one in stable.inputs
    ]
    changed = [old for old, new in zip(stable.inputs, narrower, strict=True) if old != new]

    breaks = find_breaks(stable, Signature(tuple(narrower), stable.outputs))

    assert len(breaks) == len(changed)
    assert all(": clients send " in one for one in breaks)


@given(signatures(), signatures(), signatures())
def test_find_breaks_nothing_breaks_on_the_way_none_in_the_end(
    first: Signature, second: Signature, third: Signature
) -> None:
    if not find_breaks(first, second) and not find_breaks(second, third):
        assert find_breaks(first, third) == ()
