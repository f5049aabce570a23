"""Tensors of models, as servers tell them and as the status keeps them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.builders import make_ready_pod
from tests.unit.operator.signatures import signatures

from modelservice_operator.facts.observed import PodReport, ReportedModel
from modelservice_operator.facts.reported import signature_of
from modelservice_operator.facts.signature import (
    Signature,
    Tensor,
    make_signature,
    signature_in,
    signature_status,
)

X, Y = Tensor("x", "FP32", (-1, 4)), Tensor("y", "INT64", ())
SIGNATURE = Signature((X,), (Y,))


def model(*outputs: Tensor, version: str = "1") -> ReportedModel:
    return ReportedModel(name="m", version=version, inputs=(X,), outputs=outputs)


def report(*models: ReportedModel) -> PodReport:
    return PodReport(digests_complete=False, models=models)


@given(signatures())
def test_signature_in_reads_what_the_status_shows(signature: Signature) -> None:
    shown = signature_status(signature)

    assert json.loads(json.dumps(shown)) == shown
    assert signature_in({"sha256": "a" * 64, **shown}) == signature
    assert make_signature(signature.inputs, signature.outputs) == signature


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"inputs": []},
        {"inputs": [], "outputs": None},
        {"inputs": [], "outputs": [{"name": "y"}]},
        {"inputs": [], "outputs": "y"},
    ],
)
def test_signature_in_a_status_that_does_not_tell_is_none(status: dict[str, Any]) -> None:
    assert signature_in(status) is None


def test_signature_in_a_model_without_inputs_is_known() -> None:
    assert signature_in({"inputs": [], "outputs": []}) == Signature((), ())


def test_signature_of_comes_from_the_oldest_ready_pod_that_tells() -> None:
    a, b, c = pods = [make_ready_pod("r", name) for name in ("a", "b", "c")]
    reports = {"uid-a": PodReport(digests_complete=True, models=()), "uid-b": report(model(Y))}
    reports["uid-c"] = report(model())
    starting = {**b, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}

    assert signature_of(pods[::-1], "r", reports) == SIGNATURE
    assert signature_of([a, starting, c], "r", reports) == Signature((X,), ())
    assert signature_of([a, starting], "r", reports) is None
    assert signature_of(pods, "another", reports) is None


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ((model(Y), model(Y)), SIGNATURE),
        ((model(Y), model()), None),
        ((model(Y), model(Y, version="2")), None),
        ((), None),
        ((ReportedModel(),), None),
    ],
)
def test_signature_of_a_pod_is_known_where_it_serves_one_version(
    models: tuple[ReportedModel, ...], expected: Signature | None
) -> None:
    assert signature_of([make_ready_pod("r")], "r", {"uid-pod-1": report(*models)}) == expected


@given(st.integers(0, 300))
def test_make_signature_of_too_many_tensors_is_none(count: int) -> None:
    many = tuple(Tensor(f"x{number}", "FP32") for number in range(count))

    assert (make_signature(many, ()) is None) == (count > 256)
