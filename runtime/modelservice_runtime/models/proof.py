"""The proof of a model, which lies beside it: what its framework answered to some inputs.

`modelservice model convert` writes it. A server that is asked to replays it before the model serves: the same
file may answer otherwise on another CPU, or be another file than the one that was proven.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.files import read_proof
from modelservice_pipeline.proof.replay import verify
from modelservice_runtime.errors import ModelRejectedError, ServingError
from modelservice_runtime.model import WarmableModel
from modelservice_runtime.tensors import Array

Answering: TypeAlias = Callable[[Mapping[str, Array], Sequence[str]], Sequence[Array]]


def check_proof(model: WarmableModel, path: Path) -> None:
    """Replay the proof beside the model whose file or directory is `path`. Raises ModelRejectedError."""
    check_answers(path, model.spec.input_by_name, model.spec.output_by_name, model.run)


def check_answers(path: Path, inputs: Collection[str], outputs: Collection[str], answer: Answering) -> None:
    """Replay the proof beside a model with these inputs and outputs. Raises ModelRejectedError.

    `answer` gives the named outputs of inputs, and raises ServingError.
    """
    try:
        proof = read_proof(path if path.is_dir() else path.parent)
    except PipelineError as error:
        raise ModelRejectedError(f"--verify-proof: {error}, or leave the flag out") from None

    def run(given: Mapping[str, Array]) -> Mapping[str, Array]:
        names = list(proof.cases[0].outputs)
        return dict(zip(names, answer(given, names), strict=True))

    try:
        verdict = verify(proof, inputs, outputs, run)
    except ServingError as error:
        raise ModelRejectedError(f"--verify-proof: the model does not run on its proof: {error}") from error
    if verdict.gaps:
        raise ModelRejectedError(
            f"--verify-proof: the proof is not one of this model as a whole: {'; '.join(verdict.gaps)}; "
            "store both files of the proof that was made for it"
        )
    if not verdict.holds:
        count = f"{len(verdict.differences)} times in {verdict.rows} rows"
        raise ModelRejectedError(
            f"--verify-proof: the model does not answer as its framework did, {count}; {verdict.worst}; "
            "convert it again and store both files of the new proof"
        )
