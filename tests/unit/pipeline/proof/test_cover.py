"""A proof has to speak of the whole model: of each input and output, with values that could be others."""

import numpy as np
import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.cover import find_gaps, mark_unproven
from modelservice_pipeline.proof.files import read_proof, write_proof
from modelservice_pipeline.proof.proof import Case, Decision, Proof

ROWS = np.ones((2, 3))
TIED = np.full((2, 3), 0.5)
CLEAR = np.array([[0.9, 0.1, 0.0]] * 2)
LABELS = np.zeros(2, np.int64)
NOTHING = np.zeros((0, 4))


def proof_of(*cases, **more):
    return Proof(tuple(Case(inputs, outputs) for inputs, outputs in cases), **more)


WHOLE = ({"a": ROWS, "b": ROWS}, {"y": ROWS, "z": ROWS})


def test_whole_proof_has_no_gaps():
    assert find_gaps(proof_of(WHOLE, WHOLE), ["b", "a"], ["z", "y"]) == []


@pytest.mark.parametrize(
    ("inputs", "outputs", "gap"),
    [
        (["a", "b"], ["w", "x", "y", "z"], "it does not prove outputs 'w', 'x'"),
        (["a", "b"], ["y"], "it speaks of output 'z', which the model lacks"),
        (["a", "b", "c"], ["y", "z"], "it gives no input 'c'"),
        (["a"], ["y", "z"], "it gives input 'b', which the model lacks"),
    ],
)
def test_gap_is_told_by_name(inputs, outputs, gap):
    assert find_gaps(proof_of(WHOLE), inputs, outputs) == [gap]


def test_input_that_one_run_lacks_is_told():
    assert find_gaps(proof_of(WHOLE, ({"a": ROWS}, WHOLE[1])), ["a", "b"], ["y", "z"]) == [
        "it gives no input 'b'"
    ]


def test_marked_output_may_be_left_out_and_one_that_the_model_lacks_may_not_be_marked():
    marked = proof_of(WHOLE, unproven={"x": "a state of the framework's own"})
    assert find_gaps(marked, ["a", "b"], ["x", "y", "z"]) == []
    assert find_gaps(marked, ["a", "b"], ["y", "z"]) == ["it speaks of output 'x', which the model lacks"]


@pytest.mark.parametrize(
    ("cases", "labels", "unproven"),
    [
        ([{"y": ROWS, "z": NOTHING}], {}, ["z"]),
        ([{"y": ROWS, "z": NOTHING}, {"y": ROWS, "z": ROWS}], {}, []),
        ([{"y": TIED, "z": LABELS}], {"z": Decision("y")}, ["z"]),
        ([{"y": TIED, "z": LABELS}], {}, []),
        ([{"y": CLEAR, "z": LABELS}], {"z": Decision("y")}, []),
        ([{"y": TIED, "z": LABELS}, {"y": CLEAR, "z": LABELS}], {"z": Decision("y")}, []),
        ([{"y": TIED, "z": LABELS}, {"y": NOTHING, "z": LABELS[:0]}], {"z": Decision("y")}, ["z"]),
        ([{"y": CLEAR, "z": np.int64(0)}], {"z": Decision("y")}, []),
    ],
)
def test_what_no_answer_could_contradict_is_marked_or_refused(tmp_path, cases, labels, unproven):
    proof = proof_of(*(({"x": ROWS}, outputs) for outputs in cases), labels=labels)
    assert list(mark_unproven(proof).unproven) == unproven
    write_proof(mark_unproven(proof), tmp_path)
    assert read_proof(tmp_path).unproven == mark_unproven(proof).unproven
    if unproven:
        write_proof(proof, tmp_path)
        with pytest.raises(PipelineError, match="'z' is not proven and not marked so"):
            read_proof(tmp_path)


@pytest.mark.parametrize("reason", ["", " ", None, 1, ["x"]])
def test_mark_without_a_reason_is_refused(tmp_path, reason):
    write_proof(proof_of(WHOLE, unproven={"x": reason}), tmp_path)
    with pytest.raises(PipelineError, match="does not say why"):
        read_proof(tmp_path)


def test_marks_do_not_make_up_for_a_proof_of_nothing(tmp_path):
    write_proof(mark_unproven(proof_of(({"x": ROWS}, {"y": NOTHING}))), tmp_path)
    with pytest.raises(PipelineError, match="no values"):
        read_proof(tmp_path)
