"""Makes the candidates of a model, judges and measures each, and chooses."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.compress.candidates import Candidate, Source
from modelservice_pipeline.compress.graph import file_bytes
from modelservice_pipeline.compress.judge import Judge, Verdict
from modelservice_pipeline.compress.measure import Alone, Comparison, compare, compare_alone
from modelservice_pipeline.compress.served import Pod, ServedModel, serve
from modelservice_pipeline.compress.write import carry_metadata
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.file import FilePredictor
from modelservice_pipeline.predict.wire import Message, build_request
from modelservice_pipeline.report.progress import say

Arrays = Mapping[str, np.ndarray[Any, Any]]

LEAST_GAIN = 1.1
"""Below it a gain is as likely the machine's mood, and not worth another file."""
_LEAST_REQUEST_GAIN = 0.95
"""Whole requests of small models are mostly the protocol's: they must not become slower, noise apart."""
_MESSAGES = 32


@dataclass(frozen=True)
class Aim:
    """What is looked for.

    Attributes:
        objective: `latency` (requests of one row), `throughput` (of several) or `size`.
        max_drop: How much worse the figure may be, with 95 % confidence.
        rows: Rows of a request of several.
    """

    objective: str = "latency"
    max_drop: float = 0.01
    rows: int = 32


@dataclass(frozen=True)
class Tried:
    """What came of a candidate.

    Attributes:
        candidate: Which.
        path: Its file; None where it could not be made.
        size_bytes: With external data.
        verdict: Its quality, where it could be judged.
        speed: In requests as the objective means them.
        alone: In runs of the same rows without a server.
        refusal: Why it is not chosen; None for one that may be.
    """

    candidate: Candidate
    path: Path | None = None
    size_bytes: int = 0
    verdict: Verdict | None = None
    speed: Comparison | None = None
    alone: Alone | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class Judged:
    """Rows to judge by, and what the original answers to them."""

    judge: Judge
    rows: Arrays
    answers: Arrays


def try_all(
    source: Source, judged: Judged, candidates: Sequence[Candidate], aim: Aim, pod: Pod
) -> tuple[Tried, ...]:
    """Make, judge and measure each candidate beside the original. Raises PipelineError for that one."""
    rows, messages = _build_messages(judged.rows, source.inputs, aim, source.constants.tensors)
    tried: list[Tried] = []
    with serve(source.path, pod) as original:
        for candidate in candidates:
            say(f"{candidate.name}: {candidate.what}")
            one = _try_one(source, judged, candidate, aim, _Bench(original, pod, rows, messages), tried)
            say(f"{candidate.name}: {one.refusal or 'may be chosen'}")
            tried.append(one)
    return tuple(tried)


@dataclass(frozen=True)
class _Bench:
    original: ServedModel
    pod: Pod
    rows: int
    messages: Sequence[Message]


def _try_one(
    source: Source, judged: Judged, candidate: Candidate, aim: Aim, bench: _Bench, before: Sequence[Tried]
) -> Tried:
    path = source.folder / f"{candidate.name}.onnx"
    try:
        make_checked(source, candidate, path)
    except PipelineError as error:
        return Tried(candidate, refusal=str(error).replace(f"{path} ", "it "))
    size = file_bytes(path)
    twin = next((one for one in before if one.path and _same(one.path, path)), None)
    if twin is not None:
        return Tried(candidate, path, size, refusal=f"the same file as {twin.candidate.name}")
    try:
        verdict = judged.judge.compare(judged.answers, _answer(source, path, judged.rows, aim))
        with serve(path, bench.pod) as served:
            speed = compare(bench.original, served, bench.messages, bench.rows)
        alone = _compare_alone(source, path, judged.rows, bench)
    except PipelineError as error:
        return Tried(candidate, path, size, refusal=str(error).replace(f"{path} ", "it "))
    made = Tried(candidate, path, size, verdict, speed, alone)
    return dataclasses.replace(made, refusal=why_refused(made, file_bytes(source.path), aim))


def _compare_alone(source: Source, path: Path, rows: Arrays, bench: _Bench) -> Alone | None:
    """Return how fast both are without the server, on its threads; None for GPUs, which only it uses."""
    if bench.pod.providers:
        return None
    asked = {**_cut(rows, 0, bench.rows), **source.constants.tensors}
    old, new = (OnnxModel(one, bench.pod.threads) for one in (source.path, path))
    return compare_alone(lambda: old.run(asked), lambda: new.run(asked))


def make_checked(source: Source, candidate: Candidate, path: Path) -> None:
    """Make a candidate with the ports and the metadata of the original. Raises PipelineError."""
    candidate.make(source, path)
    _check_ports(source, source.open(path))
    carry_metadata({each.key: each.value for each in source.model.metadata_props}, path)


def why_refused(tried: Tried, original_bytes: int, aim: Aim) -> str | None:
    """Return why a candidate that was judged and measured is not to be chosen; None where it may be."""
    assert tried.verdict is not None
    assert tried.speed is not None
    if not tried.verdict.drop_bound <= aim.max_drop:
        return f"may lose {tried.verdict.drop_bound:.4f}, more than {aim.max_drop:g}"
    if aim.objective == "size":
        gain = original_bytes / tried.size_bytes
        return None if gain >= LEAST_GAIN else f"{gain:.2f} times smaller, less than {LEAST_GAIN:g}"
    run, request = tried.speed.run_gain.median, tried.speed.request_gain.median
    if run < LEAST_GAIN:
        return f"{run:.2f} times as fast, less than {LEAST_GAIN:g}"
    if request < _LEAST_REQUEST_GAIN:
        return f"whole requests become slower: {request:.2f} times as fast"
    return None


def choose(tried: Sequence[Tried], aim: Aim) -> Tried | None:
    """Return the best of those that may be chosen; None where the original stays."""
    able = [one for one in tried if one.refusal is None]
    if not able:
        return None
    if aim.objective == "size":
        return min(able, key=lambda one: one.size_bytes)
    return max(able, key=lambda one: one.speed.run_gain.median if one.speed else 0.0)


def answer_original(source: Source, rows: Arrays, aim: Aim) -> dict[str, np.ndarray[Any, Any]]:
    """Return the original's answers, asked as in service. Raises PipelineError."""
    return _answer(source, source.path, rows, aim)


def _answer(source: Source, path: Path, rows: Arrays, aim: Aim) -> dict[str, np.ndarray[Any, Any]]:
    # Weights of 8 bits bring a scale that a request's rows share: its size is part of the answer.
    size = aim.rows if aim.objective == "throughput" else 1
    return source.open(path, size).predict(rows)


def _check_ports(source: Source, model: FilePredictor) -> None:
    for kind, before, after in (
        ("inputs", source.inputs, model.inputs),
        ("outputs", source.outputs, model.outputs),
    ):
        if _kinds(before) != _kinds(after):
            raise PipelineError(f"its {kind} are {_kinds(after)}, and the original has {_kinds(before)}")


def _kinds(ports: Sequence[Port]) -> dict[str, str]:
    return {port.name: port.dtype for port in ports}


def _cut(rows: Arrays, start: int, size: int) -> dict[str, np.ndarray[Any, Any]]:
    return {name: array[start : start + size] for name, array in rows.items()}


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _build_messages(
    rows: Arrays, inputs: Sequence[Port], aim: Aim, constants: Arrays
) -> tuple[int, list[Message]]:
    """Return how many rows a request has, and requests spread over the data."""
    total = len(next(iter(rows.values())))
    fixed = next((port.shape[0] for port in inputs if port.shape and port.shape[0] is not None), None)
    size = fixed or (min(aim.rows, total) if aim.objective == "throughput" else 1)
    starts = np.linspace(0, max(0, total - size), num=min(_MESSAGES, max(1, total // size))).astype(int)
    return size, [build_request({**_cut(rows, start, size), **constants}, binary=True) for start in starts]
