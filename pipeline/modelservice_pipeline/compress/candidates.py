"""The candidates: how each is made from the original, and for which machines it is worth trying."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper

from modelservice_pipeline.compress import prune, quantize, script, student
from modelservice_pipeline.compress.graph import GraphFacts, file_bytes, why_no_int8
from modelservice_pipeline.compress.machine import Cpu
from modelservice_pipeline.compress.write import write_model
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.constants import Constants, Given
from modelservice_pipeline.predict.file import FilePredictor

Arrays = Mapping[str, np.ndarray[Any, Any]]

_CALIBRATION_RUNS = 128
_MOST_SEEN_ROWS = 20_000
"""Rows of a layer to fit it to: of models that read words, a row of data has many."""


@dataclass(frozen=True)
class Source:
    """What candidates are made from.

    Attributes:
        path: The model's file.
        model: Its graph, prepared.
        prepared: The file of that.
        facts: What is in it.
        inputs: The model's.
        outputs: The model's.
        rows: Inputs that no figure is made of: to calibrate and to learn from.
        answers: What the model answers to them.
        labels: What it should answer, where that is known.
        folder: Where candidates are written.
        given: Values of inputs that rows do not bring, as the user gave them.
        constants: The same as the model takes them.
    """

    path: Path
    model: ModelProto
    prepared: Path
    facts: GraphFacts
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    rows: Arrays
    answers: Arrays
    labels: np.ndarray[Any, Any] | None
    folder: Path
    given: Given = field(default_factory=Given)
    constants: Constants = field(default_factory=Constants)

    def open(self, path: Path, rows_at_once: int | None = None) -> FilePredictor:
        """Load a file with the inputs of the model. Raises PipelineError."""
        return FilePredictor(OnnxModel(path), rows_at_once, self.given)


@dataclass(frozen=True)
class Candidate:
    """A way to make a smaller or faster model.

    Attributes:
        name: Short, for tables and files.
        what: In a few words.
        make: Writes it to a path. Raises PipelineError where that cannot be.
        shares_scales: Whether rows of one request depend on each other.
    """

    name: str
    what: str
    make: Callable[[Source, Path], None] = field(repr=False)
    shares_scales: bool = False


def plan_candidates(
    source: Source, cpu: Cpu, *, for_gpu: bool, scripts: Sequence[str] = ()
) -> tuple[Candidate, ...]:
    """Return what is worth trying, the cheapest to make first."""
    candidates = [_FP16] if for_gpu else _int8_candidates(cpu)
    if not for_gpu and why_no_int8(source.facts):
        candidates = []
    if prune.tensors_to_see(source.model):
        candidates += [_pruned("pruned-half", 0.5), _pruned("pruned-quarter", 0.25)]
    small = student.student_bytes(source.inputs)
    if small is not None and file_bytes(source.path) > 4 * small:
        candidates.append(_STUDENT)
    candidates += [_by_script(number, command) for number, command in enumerate(scripts, start=1)]
    return tuple(candidates)


def _int8_candidates(cpu: Cpu) -> list[Candidate]:
    reduced = not cpu.has_dot_products
    candidates = [
        _dynamic("int8-dynamic", "weights of 8 bits", per_channel=False, reduce_range=False),
        _dynamic("int8-channels", "weights of 8 bits by channel", per_channel=True, reduce_range=False),
    ]
    if reduced:
        candidates.append(
            _dynamic("int7-channels", "weights of 7 bits by channel", per_channel=True, reduce_range=True)
        )
    bits = "weights of 7 and activations of 8 bits" if reduced else "weights and activations of 8 bits"

    def make(source: Source, path: Path) -> None:
        quantize.quantize_all(source.prepared, path, list(_calibration_runs(source)), reduce_range=reduced)

    return [*candidates, Candidate("int8-static", f"{bits}, calibrated on rows", make)]


def _dynamic(name: str, what: str, *, per_channel: bool, reduce_range: bool) -> Candidate:
    def make(source: Source, path: Path) -> None:
        quantize.quantize_weights(source.prepared, path, per_channel=per_channel, reduce_range=reduce_range)

    return Candidate(name, what, make, shares_scales=True)


def _halve(source: Source, path: Path) -> None:
    quantize.halve_floats(source.prepared, path)


_FP16 = Candidate("fp16", "floats of 16 bits", _halve)


def _pruned(name: str, kept: float) -> Candidate:
    def make(source: Source, path: Path) -> None:
        write_model(prune.prune(source.model, kept, _see(source)), path)

    return Candidate(name, f"{kept:.0%} of the units of dense layers, fitted to the rest", make)


def _make_student(source: Source, path: Path) -> None:
    made = student.train_student(source.inputs, source.outputs, source.rows, source.answers)
    write_model(made, path)


_STUDENT = Candidate("student", "a small network that learned the answers", _make_student)


def _by_script(number: int, command: str) -> Candidate:
    def make(source: Source, path: Path) -> None:
        folder = source.folder / f"script-{number}"
        folder.mkdir(exist_ok=True)
        write_model(source.model, folder / "model.onnx")
        if prune.tensors_to_see(source.model):
            write_model(prune.prune(source.model, 0.5, _see(source)), folder / "pruned.onnx")
        rows = {**source.rows, **source.constants.tensors}
        made = script.run_script(command, folder, rows, source.answers, source.labels)
        made.rename(path)

    return Candidate(f"script-{number}", command, make)


def _calibration_runs(source: Source) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Yield what a run takes, row by row where the model does not fix another number."""
    total = len(next(iter(source.rows.values())))
    fixed = next((port.shape[0] for port in source.inputs if port.shape and port.shape[0] is not None), 1)
    for start in range(0, min(total - fixed + 1, fixed * _CALIBRATION_RUNS), fixed):
        rows = {name: array[start : start + fixed] for name, array in source.rows.items()}
        yield {**rows, **source.constants.tensors}


def _see(source: Source) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return what the layers to prune read and make on the rows, as [rows, units]."""
    wanted = prune.tensors_to_see(source.model)
    seeing = ModelProto()
    seeing.CopyFrom(source.model)
    known = {port.name for port in (*seeing.graph.input, *seeing.graph.output)}
    for name in wanted:
        if name not in known:
            seeing.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    path = source.folder / "seeing.onnx"
    write_model(seeing, path)
    outputs = source.open(path).predict(source.rows)
    seen = {name: outputs[name] if name in outputs else source.rows.get(name) for name in wanted}
    path.unlink()
    found = {}
    for name, array in seen.items():
        if array is None:
            raise PipelineError("its dense layers do not have one row of one shape for each row of data")
        found[name] = array.reshape(-1, array.shape[-1])[:_MOST_SEEN_ROWS].astype(np.float32)
    return found
