"""`modelservice model verify`: whether a model answers here as it did in its framework."""

import argparse
from pathlib import Path
from typing import Any

from modelservice_pipeline.report.report import Report, add_output_arguments, emit

_DIFFERS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="the ONNX file or its folder, with proof.json and proof.npz"
    )
    parser.add_argument(
        "--proof", type=Path, metavar="DIR", help="where the proof is, if it is not beside the model"
    )
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay the proof; returns 3 where an answer is another. Raises PipelineError."""
    import hashlib

    from modelservice_pipeline.errors import PipelineError
    from modelservice_pipeline.model.session import OnnxModel
    from modelservice_pipeline.proof.files import read_proof
    from modelservice_pipeline.proof.proof import describe_machine
    from modelservice_pipeline.proof.replay import verify

    path = arguments.model / "model.onnx" if arguments.model.is_dir() else arguments.model
    if not path.is_file():
        raise PipelineError(f"there is no model at {path}")
    proof = read_proof(arguments.proof or path.parent)
    model = OnnxModel(path)
    inputs, outputs = ([port.name for port in ports] for ports in (model.inputs, model.outputs))
    verdict = verify(proof, inputs, outputs, lambda given: model.run(dict(given)))
    with path.open("rb") as file:
        is_same_file = hashlib.file_digest(file, "sha256").hexdigest() == proof.model_sha256
    facts = {
        "model": str(path),
        "holds": verdict.holds,
        "rows": verdict.rows,
        "rows_on_threshold": verdict.on_threshold,
        "differences": len(verdict.differences),
        "worst": verdict.worst,
        "gaps": list(verdict.gaps),
        "unproven": dict(proof.unproven),
        "is_the_file_that_was_proven": is_same_file,
        "proven_on": dict(proof.machine),
        "verified_on": describe_machine(),
        "versions": dict(proof.versions),
    }
    emit(Report(f"Proof of {path.name}", facts, _sections(facts)), arguments)
    return 0 if verdict.holds else _DIFFERS


def _sections(facts: dict[str, Any]) -> list[str]:
    versions = facts["versions"]
    made_by = ", ".join(f"{name} {version}" for name, version in versions.items())
    if facts["gaps"]:
        sections = [f"The proof is not one of this model as a whole: {'; '.join(facts['gaps'])}."]
    elif facts["holds"]:
        sections = [f"It answers as its framework ({made_by}) did on all {facts['rows']} rows."]
    else:
        differs = f"It answers otherwise than its framework ({made_by}), {facts['differences']} times in "
        sections = [f"{differs}{facts['rows']} rows. The worst: {facts['worst']}."]
    if facts["rows_on_threshold"]:
        sections.append(
            f"{facts['rows_on_threshold']} rows lie on a threshold of a tree, where either answer is right."
        )
    sections.extend(
        f"The output {name!r} is not proven, as the proof says: {reason}."
        for name, reason in facts["unproven"].items()
    )
    if not facts["is_the_file_that_was_proven"]:
        sections.append("The file is not the one that the proof was made for, byte by byte.")
    return sections
