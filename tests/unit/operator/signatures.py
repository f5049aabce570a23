"""Signatures of models, for Hypothesis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from modelservice_operator.facts.signature import Signature, Tensor

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

shapes = st.none() | st.lists(st.integers(-1, 3), max_size=3).map(tuple)
datatypes = st.sampled_from(("FP32", "INT64", "BYTES"))
names = st.sampled_from("abcde") | st.text(max_size=3)


def tensors(optional: SearchStrategy[bool]) -> SearchStrategy[tuple[Tensor, ...]]:
    one = st.builds(Tensor, names, datatypes, shapes, optional)
    return st.lists(one, max_size=4, unique_by=lambda tensor: tensor.name).map(tuple)


def signatures() -> SearchStrategy[Signature]:
    return st.builds(Signature, tensors(st.booleans()), tensors(st.just(False)))
