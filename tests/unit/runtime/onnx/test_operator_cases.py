"""The ONNX project's operator tests over the wire: a selection; `make conformance` has all."""

from collections.abc import Iterator

import pytest
from tests.conformance.operator_cases import Outcome, Sweep, Verdict, load_cases
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.tensors import DATATYPES

MODULES = (
    "add", "averagepool", "bitwiseand", "cast", "constantofshape", "equal", "identity", "isinf", "max",
    "nonzero", "optionalgetelement", "rangeop", "reshape", "sequenceinsert", "shape", "slice",
    "splittosequence", "where",
)  # fmt: skip


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Verdict]]:
    with ServerThread({}) as server, Sweep(server, tmp_path_factory.mktemp("cases")) as sweep:
        yield {case.name: sweep.check(case) for case in load_cases(MODULES)}


def test_operator_cases_come_back_as_the_reference_says(verdicts: dict[str, Verdict]) -> None:
    wrong = {name: verdict.detail for name, verdict in verdicts.items() if verdict.outcome is Outcome.FAILED}
    assert wrong == {}
    same = [verdict for verdict in verdicts.values() if verdict.outcome is Outcome.SAME]
    assert len(same) > 100
    assert sum(verdict.sent_as_json for verdict in same) > 80


def test_operator_cases_cover_every_datatype_rank_and_emptiness(verdicts: dict[str, Verdict]) -> None:
    same = [verdict for verdict in verdicts.values() if verdict.outcome is Outcome.SAME]
    assert frozenset().union(*(verdict.datatypes for verdict in same)) == set(DATATYPES)
    shapes = {shape for verdict in same for shape in verdict.shapes}
    assert {len(shape) for shape in shapes} >= {0, 1, 2, 3, 4, 5}
    assert any(0 in shape for shape in shapes)


def test_operator_case_with_a_sequence_comes_back_stacked_or_is_refused(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["test_split_to_sequence_1"].outcome is Outcome.SAME
    assert verdicts["test_split_to_sequence_2"].outcome is Outcome.UNEQUAL


@pytest.mark.parametrize(
    ("case", "type_name"),
    [
        ("test_sequence_insert_at_back", "seq(tensor(int64))"),
        ("test_optional_get_element_optional_tensor", "optional(tensor(float))"),
        ("test_identity_opt", "optional(seq(tensor(float)))"),
        ("test_cast_FLOAT8E4M3FN_to_FLOAT", "tensor(float8e4m3fn)"),
    ],
)
def test_operator_case_with_an_input_that_no_protocol_carries_is_rejected(
    verdicts: dict[str, Verdict], case: str, type_name: str
) -> None:
    verdict = verdicts[case]
    assert verdict.outcome is Outcome.REJECTED
    assert f"has the type {type_name}, which no protocol can send" in verdict.detail
