"""From a folder of transformers to one that the server generates texts with, and how near the two are.

In fp32 it has to be the same model: scores, keys and values within the tolerance, as the proof beside it
says. Fewer bits answer otherwise by intent; how much is measured and told, and no proof is written.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from modelservice_pipeline.convert import sandbox
from modelservice_pipeline.convert.causal.closeness import Closeness, Decoder, measure, read_references
from modelservice_pipeline.convert.causal.graph import find_fault, open_places
from modelservice_pipeline.convert.causal.lora import Lora, adapt, read_lora, to_inputs
from modelservice_pipeline.convert.causal.support import check_source
from modelservice_pipeline.convert.convert import Request, check_numbers, deliver, run_framework, sha256_of
from modelservice_pipeline.convert.environments import prepare
from modelservice_pipeline.convert.frameworks import FRAMEWORKS
from modelservice_pipeline.convert.inside.job import ADAPTERS_NAME, BUILT_NAME
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import write_adapter
from modelservice_pipeline.proof.cover import find_gaps
from modelservice_pipeline.proof.files import read_proof, write_proof
from modelservice_pipeline.proof.proof import Proof
from modelservice_pipeline.proof.replay import replay
from modelservice_pipeline.report.progress import say

EXACT_PRECISION = "fp32"
ADAPTER_SUFFIX = ".onnx_adapter"


@dataclass(frozen=True)
class TextConversion:
    """What came of it.

    Attributes:
        model: The ONNX file; everything else lies beside it.
        model_sha256: Of that file; its weights are in another.
        size_bytes: Of all files.
        proof: What transformers answered; it lies beside the model where `is_proven`.
        is_proven: The model has to answer the same, and does.
        closeness: How near it is.
        is_isolated: False where the framework ran without a network namespace.
        adapters: How near the model is with each of them, by their names.
    """

    model: Path
    model_sha256: str
    size_bytes: int
    proof: Proof
    is_proven: bool
    closeness: Closeness
    is_isolated: bool
    adapters: Mapping[str, Closeness]


def convert_causal(request: Request, output: Path) -> TextConversion:
    """Convert into a folder. Raises PipelineError where it cannot be served, or is another model."""
    check_source(request.source)
    adapters = [read_lora(name, Path(one)) for name, one in request.options.get("adapters", {}).items()]
    python = request.python or prepare(FRAMEWORKS[request.framework].environment)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PipelineError(f"cannot make {output.parent}: {error.strerror}") from None
    # Beside the output: weights of gigabytes are moved then, not copied.
    with tempfile.TemporaryDirectory(prefix=".modelservice-convert-", dir=output.parent) as name:
        folder = Path(name).absolute()
        run_framework(request, python, folder)
        conversion = _finish(request, folder, adapters)
        deliver(folder / BUILT_NAME, output)
    return replace(conversion, model=output / conversion.model.name)


def _finish(request: Request, folder: Path, adapters: Sequence[Lora]) -> TextConversion:
    """Check what was built, and compare it. Raises PipelineError."""
    built = folder / BUILT_NAME
    config = json.loads((built / "genai_config.json").read_text(encoding="utf-8"))["model"]["decoder"]
    model = built / config["filename"]
    graph = onnx.load(model, load_external_data=False)
    if fault := find_fault(graph, config["num_hidden_layers"]):
        raise PipelineError(f"the built model cannot be served, and nothing was written: {fault}")
    if adapters:
        adapt(graph, adapters)
    if open_places(graph) or adapters:
        model.write_bytes(graph.SerializeToString())
    say("Comparing it with transformers")
    decoder = Decoder(built, os.cpu_count() or 1)
    closeness = _measure(request, decoder, folder)
    digest = sha256_of(model)
    proof = replace(read_proof(folder), tolerance=request.tolerance, model_sha256=digest)
    is_proven = request.options["precision"] == EXACT_PRECISION
    if is_proven:
        _prove(proof, decoder, closeness)
        write_proof(proof, built)
    nearness = {one.name: _bring_adapter(request, one, decoder, folder) for one in adapters}
    _bring_licence(request.source, built)
    size_bytes = sum(file.stat().st_size for file in built.rglob("*"))
    isolated = bool(sandbox.find_isolation())
    return TextConversion(model, digest, size_bytes, proof, is_proven, closeness, isolated, nearness)


def _measure(request: Request, decoder: Decoder, folder: Path) -> Closeness:
    """Compare with the references of a folder. Raises PipelineError."""
    references = read_references(folder)
    found = [decoder.logits(reference) for reference in references]
    return measure(references, found, request.tolerance)


def _bring_adapter(request: Request, adapter: Lora, decoder: Decoder, folder: Path) -> Closeness:
    """Write an adapter's file, and compare with peft. Raises PipelineError where it answers otherwise."""
    say(f"Comparing its adapter {adapter.name} with peft")
    values, asked = to_inputs(adapter, decoder.dtype), folder / ADAPTERS_NAME / adapter.name
    decoder.take_adapter(values)
    closeness = _measure(request, decoder, asked)
    if request.options["precision"] == EXACT_PRECISION:
        try:
            _prove(replace(read_proof(asked), tolerance=request.tolerance), decoder, closeness)
        except PipelineError as error:
            raise PipelineError(f"adapter {adapter.name!r}: {error}") from None
    write_adapter(folder / BUILT_NAME / ADAPTERS_NAME / f"{adapter.name}{ADAPTER_SUFFIX}", values)
    return closeness


def _prove(proof: Proof, decoder: Decoder, closeness: Closeness) -> None:
    """Raise PipelineError where the model does not answer as transformers do."""
    check_numbers(proof)
    if gaps := find_gaps(proof, decoder.inputs, decoder.outputs):
        raise PipelineError(f"the builder made another model, and nothing was written: {'; '.join(gaps)}")
    verdict = replay(proof, decoder.run)
    if not verdict.holds:
        raise PipelineError(
            f"the converted model does not answer as transformers do, {len(verdict.differences)} times in "
            f"{verdict.rows} runs: {verdict.worst}; nothing was written"
        )
    if closeness.surely_other:
        raise PipelineError(
            f"the converted model takes other tokens than transformers, {closeness.surely_other} times of "
            f"{closeness.tokens}, and nothing was written"
        )


def _bring_licence(source: Path, built: Path) -> None:
    """A model's licence goes where the model goes."""
    for file in source.iterdir():
        if file.is_file() and file.name.upper().split(".")[0] in ("LICENSE", "LICENCE", "NOTICE"):
            shutil.copyfile(file, built / file.name)
