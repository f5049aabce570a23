"""`python -m modelservice_pipeline.convert.inside FOLDER...`: do the jobs that are written there."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

from modelservice_pipeline.convert.inside.job import (
    ERROR_NAME,
    MODEL_NAME,
    RESULT_NAME,
    Converted,
    Job,
    read_job,
)
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.cover import mark_unproven
from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Proof, describe_machine

_MODULES = {
    "sklearn": "from_sklearn",
    "xgboost": "from_xgboost",
    "lightgbm": "from_lightgbm",
    "torch": "from_torch",
    "transformers": "from_transformers",
    "transformers-causal": "from_causal",
    "jax": "from_jax",
    "paddle": "from_paddle",
    "mindspore": "from_mindspore",
    "keras": "from_tensorflow",
    "savedmodel": "from_tensorflow",
}

# Frameworks write some of their sentences in bold.
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def main() -> None:
    """Convert; what the user has to know is written into files."""
    for folder in sys.argv[1:]:
        _do(read_job(Path(folder)))


def _do(job: Job) -> None:
    try:
        module = import_module(f"modelservice_pipeline.convert.inside.{_MODULES[job.framework]}")
        converted: Converted = module.convert(job)
        _write(job, converted)
    except PipelineError as error:
        (job.folder / ERROR_NAME).write_text(_COLOURS.sub("", str(error)), encoding="utf-8")


def _write(job: Job, converted: Converted) -> None:
    import onnx

    if isinstance(converted.model, onnx.ModelProto):
        onnx.save(
            converted.model,
            job.folder / MODEL_NAME,
            save_as_external_data=converted.model.ByteSize() > 1 << 30,
            location="model.onnx.data",
        )
    proof = mark_unproven(
        Proof(
            tuple(converted.cases),
            labels=converted.labels,
            has_thresholds=converted.has_thresholds,
            versions=converted.versions(),
            machine=describe_machine(),
        )
    )
    if len(proof.unproven) == len(proof.cases[0].outputs):
        raise PipelineError(
            "the framework answers nothing to the inputs that were tried, which proves nothing; give inputs "
            "that it has answers to with --samples"
        )
    write_proof(proof, job.folder)
    result = {"metadata": dict(converted.metadata), "notes": list(converted.notes)}
    (job.folder / RESULT_NAME).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
