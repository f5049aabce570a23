"""The proof of a model, which lies beside it: what its framework answered to some inputs.

`modelservice model convert` writes it. A server that is asked to replays it before the model serves: the same
file may answer otherwise on another CPU, or be another file than the one that was proven.
"""

from collections.abc import Mapping
from pathlib import Path

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.files import read_proof
from modelservice_pipeline.proof.proof import Proof
from modelservice_pipeline.proof.replay import replay
from modelservice_runtime.errors import ModelRejectedError, ServingError
from modelservice_runtime.model import WarmableModel
from modelservice_runtime.tensors import Array


def check_proof(model: WarmableModel, path: Path) -> None:
    """Replay the proof beside the model whose file or directory is `path`. Raises ModelRejectedError."""
    try:
        proof = read_proof(path if path.is_dir() else path.parent)
    except PipelineError as error:
        raise ModelRejectedError(f"--verify-proof: {error}, or leave the flag out") from None
    _check_names(model, proof)

    def run(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        names = list(proof.cases[0].outputs)
        return dict(zip(names, model.run(inputs, names), strict=True))

    try:
        verdict = replay(proof, run)
    except ServingError as error:
        raise ModelRejectedError(f"--verify-proof: the model does not run on its proof: {error}") from error
    if not verdict.holds:
        count = f"{len(verdict.differences)} times in {verdict.rows} rows"
        raise ModelRejectedError(
            f"--verify-proof: the model does not answer as its framework did, {count}; {verdict.worst}; "
            "convert it again and store both files of the new proof"
        )


def _check_names(model: WarmableModel, proof: Proof) -> None:
    for name in proof.cases[0].outputs:
        if name not in model.spec.output_by_name:
            raise ModelRejectedError(
                f"--verify-proof: the proof is of another model: no output {name!r} is served of this one"
            )
    known, proven = set(model.spec.input_by_name), set(proof.cases[0].inputs)
    if known != proven:
        raise ModelRejectedError(
            f"--verify-proof: the proof is of another model: its inputs are {', '.join(sorted(proven))}, and "
            f"this model has {', '.join(sorted(known))}; store the proof that was made for it"
        )
