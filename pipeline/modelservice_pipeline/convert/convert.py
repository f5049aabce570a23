"""From a framework's model to an ONNX file with the proof that it answers the same."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import modelservice_pipeline
from modelservice_pipeline.convert import sandbox
from modelservice_pipeline.convert.environments import prepare
from modelservice_pipeline.convert.fixes import fix
from modelservice_pipeline.convert.frameworks import FRAMEWORKS
from modelservice_pipeline.convert.inside.job import (
    ADAPTERS_NAME,
    ERROR_NAME,
    MODEL_NAME,
    RESULT_NAME,
    SAMPLES_NAME,
    Job,
)
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.proof.cover import find_gaps, mark_unproven
from modelservice_pipeline.proof.files import ARRAYS_NAME, JSON_NAME, read_proof, write_proof
from modelservice_pipeline.proof.proof import DEFAULT_TOLERANCE, Array, Case, Proof, Tolerance
from modelservice_pipeline.proof.replay import Verdict, replay
from modelservice_pipeline.report.progress import say

# protobuf ends at 2 GiB; beyond, weights lie beside the model.
_MAX_SINGLE_FILE_BYTES = 1_900_000_000
_OPSET = 20
_DATA_NAME = "model.onnx.data"
# A folder with this one generates texts.
_TEXTS_NAME = "genai_config.json"


@dataclass(frozen=True)
class Request:
    """What to convert.

    Attributes:
        framework: A name of `FRAMEWORKS`.
        source: The user's file or folder.
        samples: Inputs to prove it on; without any they are made up.
        rows: How many to prove.
        python: An interpreter with the framework and its converter, in place of an environment of ours.
        limit_seconds: How long the framework may take.
        tolerance: How far the answers may be apart.
        options: What only this framework knows.
    """

    framework: str
    source: Path
    samples: Mapping[str, Array] = field(default_factory=dict)
    rows: int = 64
    python: Path | None = None
    limit_seconds: float = 900.0
    tolerance: Tolerance = DEFAULT_TOLERANCE
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversion:
    """What came of it.

    Attributes:
        model: The ONNX file; the proof lies beside it.
        proof: The same as an object.
        verdict: How the file answered here.
        is_isolated: False where the framework ran without a network namespace.
        notes: What the user should know.
    """

    model: Path
    proof: Proof
    verdict: Verdict
    is_isolated: bool
    notes: tuple[str, ...]


def convert(request: Request, output: Path) -> Conversion:
    """Convert, prove, and write model and proof into a folder. Raises PipelineError, also without proof."""
    if not request.source.exists():
        raise PipelineError(f"there is no {request.source}")
    python = request.python or prepare(FRAMEWORKS[request.framework].environment)
    with tempfile.TemporaryDirectory(prefix="modelservice-convert-") as name:
        folder = Path(name)
        notes, metadata = run_framework(request, python, folder)
        conversion = finish(request, folder, metadata, notes)
        deliver(folder / "done", output)
    return replace(conversion, model=output / MODEL_NAME)


def run_framework(request: Request, python: Path, folder: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Run the framework in a folder; returns its notes and metadata. Raises PipelineError."""
    job = Job(request.framework, request.source.absolute(), folder, request.rows, _OPSET, request.options)
    job.write()
    if request.samples:
        (folder / SAMPLES_NAME).mkdir()
        write_proof(Proof((Case(request.samples, {}),)), folder / SAMPLES_NAME)
    if not sandbox.find_isolation():
        say("This machine lets nobody make namespaces: the framework runs with the network it has")
    say(f"Converting {request.source.name} from {request.framework}")
    command = (python, "-P", "-s", "-m", "modelservice_pipeline.convert.inside", folder)
    sandbox.run(command, folder, _environ(folder), request.limit_seconds)
    if (folder / ERROR_NAME).exists():
        raise PipelineError((folder / ERROR_NAME).read_text(encoding="utf-8", errors="replace"))
    return _read_result(folder, request.source)


def _read_result(folder: Path, source: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return what the framework left; the source is a program, which may have left something else."""
    try:
        result = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        return tuple(map(str, result["notes"])), {
            str(key): str(one) for key, one in result["metadata"].items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise PipelineError(
            f"{source.name} ended the framework's process without a result: reading it runs code of its own; "
            "save the fitted model again, and nothing else"
        ) from None


def _environ(folder: Path) -> dict[str, str]:
    """The variables of the framework's process: none of ours, which may be secrets."""
    home, code = folder / "home", folder / "code"
    home.mkdir()
    code.mkdir()
    # Of all our packages it sees this one alone.
    (code / modelservice_pipeline.__name__).symlink_to(Path(modelservice_pipeline.__file__).parent)
    return {
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": str(home),
        "OMP_NUM_THREADS": "1",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(code),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TMPDIR": str(home),
    }


def finish(request: Request, folder: Path, metadata: Mapping[str, str], notes: tuple[str, ...]) -> Conversion:
    """Mend the model that a framework wrote into a folder, write it anew, and replay its proof.

    Raises PipelineError where it answers otherwise than the framework did.
    """
    done = folder / "done"
    done.mkdir()
    proof = mark_unproven(replace(read_proof(folder), tolerance=request.tolerance))
    check_numbers(proof)
    versions = {f"{name}_version": version for name, version in proof.versions.items()}
    model = fix(onnx.load(folder / MODEL_NAME), proof.cases, {**metadata, **versions})
    _check_whole(proof, model.graph, request.framework)
    save(model, done / MODEL_NAME)
    digest = sha256_of(done / MODEL_NAME)
    proof = replace(proof, model_sha256=digest)
    write_proof(proof, done)
    say(f"Proving it on {len(proof.cases)} runs of the framework")
    verdict = _replay(proof, done / MODEL_NAME, request.framework)
    if not verdict.holds:
        raise PipelineError(
            f"the converted model does not answer as {request.framework} does, {len(verdict.differences)} "
            f"times in {verdict.rows} rows: {verdict.worst}; nothing was written"
        )
    marks = tuple(
        f"Nothing proves the output {name!r}: {reason}. Rows that bring other answers prove it (--samples)."
        for name, reason in proof.unproven.items()
    )
    return Conversion(done / MODEL_NAME, proof, verdict, bool(sandbox.find_isolation()), (*notes, *marks))


def _check_whole(proof: Proof, graph: onnx.GraphProto, framework: str) -> None:
    """Raise PipelineError where a model takes or answers what its framework was not asked about."""
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = {value.name for value in graph.input} - initializers
    if gaps := find_gaps(proof, inputs, {value.name for value in graph.output}):
        raise PipelineError(
            f"the converter of {framework} made a model with other inputs or outputs than the framework's, "
            f"and nothing was written; of the proof: {'; '.join(gaps)}"
        )


def _replay(proof: Proof, path: Path, framework: str) -> Verdict:
    """Load and ask the model. Raises PipelineError where ONNX Runtime does not take it."""
    try:
        session = OnnxModel(path)
        return replay(proof, lambda inputs: session.run(dict(inputs)))
    except PipelineError as error:
        reason = str(error).rpartition(" failed:")[2].replace(str(path), MODEL_NAME)
        raise PipelineError(
            f"the converter of {framework} made a model that ONNX Runtime does not take, and nothing was "
            f"written: {reason} (leave out the step that it names, or do it in another way)"
        ) from None


def check_numbers(proof: Proof) -> None:
    """Raise PipelineError where an output is never a number: two that answer NaN would agree for ever."""
    for name in proof.cases[0].outputs if proof.cases else ():
        answers = [case.outputs[name] for case in proof.cases if case.outputs[name].size]
        if answers and all(one.dtype.kind == "f" and np.isnan(one).all() for one in answers):
            raise PipelineError(
                f"the framework itself answers NaN for every row of {name!r}, and nothing was written: look "
                "for NaN in the model's weights, or give rows that it knows with --samples"
            )


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model into one file, or with its weights beside it where protobuf allows no more."""
    onnx.save(
        model,
        path,
        save_as_external_data=model.ByteSize() > _MAX_SINGLE_FILE_BYTES,
        location=_DATA_NAME,
        all_tensors_to_one_file=True,
    )


def sha256_of(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def deliver(done: Path, output: Path) -> None:
    """Move the files to where they are wanted, all of them or none that is there already is lost.

    What other models left there and this one lacks goes, for it would be taken for a part of this one.
    Raises PipelineError.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        for stale in (MODEL_NAME, _DATA_NAME, JSON_NAME, ARRAYS_NAME, _TEXTS_NAME):
            (output / stale).unlink(missing_ok=True)
        for adapter in (output / ADAPTERS_NAME).glob("*.onnx_adapter"):
            adapter.unlink()
        for file in sorted(one for one in done.rglob("*") if one.is_file()):
            wanted = output / file.relative_to(done)
            wanted.parent.mkdir(exist_ok=True)
            partial = wanted.with_name(f".{file.name}.{os.getpid()}")
            shutil.move(file, partial)
            partial.replace(wanted)
    except OSError as error:
        raise PipelineError(f"cannot write {error.filename or output}: {error.strerror}") from None
