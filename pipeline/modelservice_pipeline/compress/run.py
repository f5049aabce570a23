"""The whole way of a compression, from a file and rows to the file that is kept."""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import ModelProto

from modelservice_pipeline.compress.candidates import Source, plan_candidates
from modelservice_pipeline.compress.graph import (
    file_bytes,
    load_model,
    read_facts,
    why_no_int8,
    why_nothing_to_gain,
)
from modelservice_pipeline.compress.judge import Judge
from modelservice_pipeline.compress.machine import read_cpu
from modelservice_pipeline.compress.outcome import Outcome
from modelservice_pipeline.compress.prepare import prepare
from modelservice_pipeline.compress.search import Aim, Judged, Tried, answer_original, choose, try_all
from modelservice_pipeline.compress.served import Pod, check_server_is_installed, ended_by_exception
from modelservice_pipeline.compress.write import write_model
from modelservice_pipeline.data.dataset import Dataset
from modelservice_pipeline.data.labels import parse_labels
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.constants import Given
from modelservice_pipeline.predict.file import FilePredictor
from modelservice_pipeline.predict.rows import prepare_rows

CHOSEN = "model.onnx"
_MOST_LEARNT_ROWS = 5000


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        model: The file.
        load: Returns rows to learn from and rows to judge by, for the model's inputs.
        judge: Makes the judge of the rows to judge by.
        max_drop: How much worse it may be.
        objective: See `Aim`.
        request_rows: Rows of a request of several.
        threads: CPUs of the pod.
        for_gpu: Whether a GPU will run it.
        scripts: Programs that make candidates.
        output: Where the chosen file goes; None: nowhere.
        given: Values of inputs that rows do not bring.
    """

    model: Path
    load: Callable[[Sequence[Port]], tuple[Dataset, Dataset]]
    judge: Callable[[Dataset], Judge]
    max_drop: float = 0.01
    objective: str = "latency"
    request_rows: int = 32
    threads: int = 1
    for_gpu: bool = False
    scripts: tuple[str, ...] = ()
    output: Path | None = None
    given: Given = field(default_factory=Given)


def compress(request: Request) -> Outcome:
    """Search, and write the file that is kept. Raises PipelineError."""
    check_server_is_installed()
    graph = load_model(request.model)
    aim = Aim(request.objective, request.max_drop, request.request_rows)
    predictor = FilePredictor(OnnxModel(request.model), given=request.given)
    learnt, judged = request.load(predictor.inputs)
    judge = request.judge(judged)
    cpu = read_cpu()
    outcome = Outcome(
        request.model,
        file_bytes(request.model),
        judged.name,
        len(judged),
        judge.metric,
        aim,
        cpu,
        notes=judged.notes,
    )
    nothing = why_nothing_to_gain(read_facts(graph))
    if nothing is not None and not request.scripts:
        _keep(request, None)
        return dataclasses.replace(outcome, nothing=nothing)
    with ended_by_exception(), tempfile.TemporaryDirectory(prefix="modelservice-compress-") as folder:
        source = _make_source(request, graph, predictor, learnt, Path(folder))
        tried = _search(source, judged, judge, request, aim)
        chosen = choose(tried, aim)
        _keep(request, chosen)
    nothing = None if tried else why_no_int8(source.facts)
    return dataclasses.replace(outcome, metric=judge.metric, tried=tried, chosen=chosen, nothing=nothing)


def _make_source(
    request: Request, graph: ModelProto, predictor: FilePredictor, learnt: Dataset, folder: Path
) -> Source:
    data = learnt.take(np.arange(min(len(learnt), _MOST_LEARNT_ROWS)))
    rows = prepare_rows(data.inputs, predictor.inputs)
    answers = predictor.predict(rows)
    prepared = folder / "prepared.onnx"
    return Source(
        request.model,
        prepare(graph, prepared),
        prepared,
        read_facts(graph),
        predictor.inputs,
        predictor.outputs,
        rows,
        answers,
        None if data.labels is None else parse_labels(data.labels),
        folder,
        request.given,
        predictor.constants,
    )


def _search(source: Source, data: Dataset, judge: Judge, request: Request, aim: Aim) -> tuple[Tried, ...]:
    candidates = plan_candidates(source, read_cpu(), for_gpu=request.for_gpu, scripts=request.scripts)
    rows = prepare_rows(data.inputs, source.inputs)
    answers = answer_original(source, rows, aim)
    # The original against itself: what cannot be judged is told before anything is made.
    judge.compare(answers, answers)
    judged = Judged(judge, rows, answers)
    pod = Pod(request.threads, ("CUDA",) if request.for_gpu else ())
    return try_all(source, judged, candidates, aim, pod)


def _keep(request: Request, chosen: Tried | None) -> None:
    """Write the file that is kept: the best candidate, or the original as it is."""
    if request.output is None:
        return
    path = request.model if chosen is None else chosen.path
    assert path is not None
    try:
        request.output.mkdir(parents=True, exist_ok=True)
        if file_bytes(path) == path.stat().st_size:
            shutil.copyfile(path, request.output / CHOSEN)
        else:
            write_model(load_model(path), request.output / CHOSEN)
    except shutil.SameFileError:
        return
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise PipelineError(f"cannot write {error.filename or request.output}: {reason}") from None
