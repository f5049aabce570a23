"""What is measured: each case is some rows of measurements and what must hold between them."""

import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson
import simdjson

from benchmarks import grpc_latency
from benchmarks.http_requests import binary_infer, http_request, json_document, json_infer
from benchmarks.load import Measurement, Stream, Target, measure, measure_call
from benchmarks.measuring import Row, running_server
from benchmarks.models import IMAGE_SHAPE, open_session
from benchmarks.peers import PeerUnavailableError, fastapi, mlserver
from benchmarks.servers import modelservice, server_cpu, written_here

TINY = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
_CONNECTIONS = 16
_ROUNDS = 3
_MID_SECONDS = 0.0027


@dataclass(frozen=True)
class Goal:
    """A ratio of two rows' rates, and what it should be at least (for latencies: at most).

    `by_cpu` is the same ratio by CPU time for one request, where that is comparable.
    """

    name: str
    value: float
    target: float
    at_most: bool = False
    by_cpu: float | None = None

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target


@dataclass
class Case:
    """One part of the table. `notes` say what could not be measured."""

    title: str
    rows: dict[str, Measurement] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def compare(self, name: str, one: str, other: str, target: float) -> None:
        """Set the goal of a ratio, by the best half seconds, where both rows were measured."""
        if one in self.rows and other in self.rows:
            first, second = self.rows[one], self.rows[other]
            by_cpu = second.cpu_us / first.cpu_us if first.cpu_us else None
            ratio = first.best_per_second / second.best_per_second
            self.goals.append(Goal(name, ratio, target, by_cpu=by_cpu))

    def keep_best(self, name: str, measured: Measurement) -> None:
        """Of several rounds the one that the machine disturbed least counts."""
        known = self.rows.get(name)
        if known is None or measured.best_per_second > known.best_per_second:
            self.rows[name] = measured

    def keep_steadiest(self, measured: dict[str, Measurement]) -> None:
        """The same for tails: the round counts whose first row has the lowest p99."""
        name, first = next(iter(measured.items()))
        known = self.rows.get(name)
        if known is None or first.p99_us < known.p99_us:
            self.rows.update(measured)


@dataclass(frozen=True)
class Settings:
    """The models' files, and seconds for each row."""

    models: dict[str, Path]
    seconds: float


OURS, RAW = "modelservice", "ONNX Runtime alone"


def measure_limit(call: Callable[[], object], seconds: float) -> Measurement:
    """What a server could reach at most: nothing but the call, on the servers' CPU."""
    with server_cpu():
        return measure_call(call, seconds)


def measure_seconds(call: Callable[[], object]) -> float:
    """One call, on the servers' CPU."""
    with server_cpu():
        started = time.perf_counter()
        call()
        return time.perf_counter() - started


def tiny_rest(settings: Settings) -> Case:
    """A model of a few microseconds: all that counts is the server."""
    case = Case("tiny MLP, REST JSON, 16 connections")
    model = settings.models["tiny"]
    session = open_session(model)
    case.rows[RAW] = measure_limit(lambda: session.run(["y"], {"x": TINY}), settings.seconds)
    request = Stream(json_infer("tiny", TINY), _CONNECTIONS)
    instances = orjson.dumps({"instances": TINY.tolist()})
    plain = http_request("/predict", instances, "Content-Type: application/json\r\n")
    servers: dict[str, tuple[Callable[[], AbstractContextManager[Target]], Stream]] = {
        OURS: (lambda: modelservice({"tiny": model}), request),
        "bare prototype": (lambda: written_here("prototype", str(model)), request),
        "FastAPI": (lambda: fastapi(model), Stream(plain, _CONNECTIONS)),
        "MLServer": (lambda: mlserver(model), request),
    }
    for _ in range(_ROUNDS):
        for name, (start, stream) in servers.items():
            _add_server(case, name, start, stream, settings.seconds)
    case.compare("FastAPI", OURS, "FastAPI", 5.0)
    case.compare("MLServer", OURS, "MLServer", 15.0)
    case.compare("bare prototype", OURS, "bare prototype", 60 / 66)
    return case


def tiny_binary(settings: Settings) -> Case:
    """The same with binary tensors."""
    case = Case("tiny MLP, REST binary, 16 connections")
    with modelservice({"tiny": settings.models["tiny"]}) as target:
        stream = Stream(binary_infer("tiny", TINY), _CONNECTIONS)
        (case.rows[OURS],) = measure(target, stream, seconds=settings.seconds)
    return case


def tiny_grpc(settings: Settings) -> Case:
    """ModelInfer of the tiny model, against a grpcio server written by hand."""
    case = Case("tiny MLP, gRPC, 16 streams")
    model = settings.models["tiny"]
    load = grpc_latency.Load(
        grpc_latency.INFER_PATH, grpc_latency.build_infer_message(), 16, 1, settings.seconds
    )
    for _ in range(_ROUNDS):
        with running_server({"tiny": model}) as server:
            row = grpc_latency.measure(OURS, load, server.grpc_port, server.pid)
            case.keep_best(OURS, _measurement(row))
        with grpc_latency.running_benchmark_server("grpcio", model) as (port, pid):
            case.keep_best("grpcio", _measurement(grpc_latency.measure("grpcio", load, port, pid)))
    case.compare("grpcio", OURS, "grpcio", 2.0)
    return case


def _measurement(row: Row) -> Measurement:
    return Measurement(row.per_second, row.best_per_second, row.p50_us, row.p99_us, row.cpu_us)


def mid(settings: Settings) -> Case:
    """A model of milliseconds: the server must not take from it."""
    session = open_session(settings.models["mid"])
    array = _rows_for(session, _MID_SECONDS)
    case = Case(f"mid MLP, {len(array)} rows, REST binary, 4 connections")
    with modelservice({"mid": settings.models["mid"]}) as target:
        for _ in range(_ROUNDS):
            case.keep_best(RAW, measure_limit(lambda: session.run(["y"], {"x": array}), settings.seconds))
            stream = Stream(binary_infer("mid", array), 4)
            case.keep_best(OURS, measure(target, stream, seconds=settings.seconds)[0])
    case.compare(RAW, OURS, RAW, 0.95)
    return case


def _rows_for(session: ort.InferenceSession, seconds: float) -> np.ndarray:
    """As few rows as take so long on this machine, which may be fast or slow, at its best."""
    random = np.random.default_rng(0)
    for count in range(4, 1024):
        rows = random.normal(size=(count, 512)).astype(np.float32)
        best = min(measure_seconds(partial(session.run, ["y"], {"x": rows})) for _ in range(30))
        if best >= seconds:
            break
    return rows


def batching(settings: Settings) -> Case:
    """Single rows of many clients, run together; rates are rows a second."""
    case = Case("53 MB MLP, 64 connections, batches of 32")
    row = np.random.default_rng(0).normal(size=(1, 512)).astype(np.float32)
    rows = np.repeat(row, 32, axis=0)
    session = open_session(settings.models["large"])
    with modelservice({"large": settings.models["large"]}, "--max-batch-size", "32") as target:
        for _ in range(_ROUNDS):
            raw = measure_limit(lambda: session.run(["y"], {"x": rows}), settings.seconds)
            in_rows = Measurement(
                raw.per_second * 32, raw.best_per_second * 32, raw.p50_us, raw.p99_us, raw.cpu_us / 32
            )
            case.keep_best(RAW, in_rows)
            stream = Stream(binary_infer("large", row), 64)
            case.keep_best(OURS, measure(target, stream, seconds=settings.seconds)[0])
    case.compare(RAW, OURS, RAW, 0.85)
    return case


def image_binary(settings: Settings) -> Case:
    """602 KB in and out; the limit is a socket that sends back what it gets."""
    case = Case("224x224x3 FP32 binary, in and out, 4 connections")
    array = np.random.default_rng(0).random(IMAGE_SHAPE, dtype=np.float32)
    request = Stream(binary_infer("image", array), 4)
    with (
        modelservice({"image": settings.models["image"]}) as target,
        written_here("echo", str(len(request.request))) as echo,
    ):
        for _ in range(_ROUNDS):
            case.keep_best("socket echo", measure(echo, request, seconds=settings.seconds)[0])
            case.keep_best(OURS, measure(target, request, seconds=settings.seconds)[0])
    case.compare("socket echo", OURS, "socket echo", 0.6)
    return case


def image_json(settings: Settings) -> Case:
    """The same as JSON, one number out; the limit is parsing alone, with the fastest library."""
    case = Case("224x224x3 FP32 JSON, 1 connection")
    array = np.random.default_rng(0).random(IMAGE_SHAPE, dtype=np.float32)
    text = json_document(array)

    def parse() -> None:
        document = simdjson.Parser().parse(text)
        assert isinstance(document, simdjson.Object)
        numbers = document.at_pointer("/inputs/0/data")
        assert isinstance(numbers, simdjson.Array)
        numbers.as_buffer(of_type="d")

    with modelservice({"mean": settings.models["mean"]}) as target:
        for _ in range(_ROUNDS):
            case.keep_best("simdjson alone", measure_limit(parse, settings.seconds))
            case.keep_best("orjson alone", measure_limit(lambda: orjson.loads(text), settings.seconds))
            stream = Stream(json_infer("mean", array), 1)
            case.keep_best(OURS, measure(target, stream, seconds=settings.seconds)[0])
    case.compare("simdjson alone", OURS, "simdjson alone", 0.7)
    return case


def isolation(settings: Settings) -> Case:
    """A fast model's tail while a slow one has more to do than it can."""
    case = Case("tiny MLP beside a saturated mid model")
    rows = np.ones((8, 512), np.float32)
    fast, slow = Stream(json_infer("tiny", TINY), 1), Stream(binary_infer("mid", rows), 4)
    models = {name: settings.models[name] for name in ("tiny", "mid")}
    with modelservice(models) as target:
        for _ in range(_ROUNDS):
            (alone,) = measure(target, fast, seconds=settings.seconds)
            case.keep_steadiest({"alone": alone})
            beside, slowed = measure(target, fast, slow, seconds=settings.seconds)
            case.keep_steadiest({"beside": beside, "the slow one": slowed})
    ratio = case.rows["beside"].p99_us / case.rows["alone"].p99_us
    case.goals.append(Goal("p99 beside / p99 alone", ratio, 2.0, at_most=True))
    return case


def footprint(settings: Settings) -> Case:
    """Memory and start of a server with a tiny model."""
    case = Case("memory and start, tiny MLP")
    started = time.monotonic()
    with modelservice({"tiny": settings.models["tiny"]}) as target:
        seconds = time.monotonic() - started
        with socket.create_connection(("127.0.0.1", target.port)) as connection:
            connection.sendall(json_infer("tiny", TINY))
            connection.recv(65536)
        status = Path(f"/proc/{target.pid}/status").read_text(encoding="ascii")
        megabytes = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    case.goals.append(Goal("resident megabytes", megabytes, 100.0, at_most=True))
    case.goals.append(Goal("seconds from start to ready", seconds, 1.5, at_most=True))
    return case


def _add_server(
    case: Case,
    name: str,
    start: Callable[[], AbstractContextManager[Target]],
    stream: Stream,
    seconds: float,
) -> None:
    try:
        with start() as target:
            case.keep_best(name, measure(target, stream, seconds=seconds)[0])
    except PeerUnavailableError as error:
        note = f"{name} {error}"
        if note not in case.notes:
            case.notes.append(note)


ALL: dict[str, Callable[[Settings], Case]] = {
    "rest": tiny_rest,
    "binary": tiny_binary,
    "grpc": tiny_grpc,
    "mid": mid,
    "batching": batching,
    "image": image_binary,
    "json": image_json,
    "isolation": isolation,
    "footprint": footprint,
}
