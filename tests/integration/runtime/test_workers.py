"""Several workers behind one port: settings and counters on their way, and real processes."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.integration.runtime.test_serve_process import BODY, Caller, post
from tests.support.operator_process import wait_until
from tests.unit.runtime.server_process import ServerProcess, run_to_the_end, server_process

from modelservice_runtime.errors import AddressUnavailableError
from modelservice_runtime.execution.statistics import QUEUE_BUCKETS_SECONDS, ModelStatistics, Timing
from modelservice_runtime.model import Batching
from modelservice_runtime.models.load import Load, plain_load
from modelservice_runtime.models.snapshots import (
    ModelSnapshot,
    Snapshots,
    merge_snapshots,
    parse_snapshots,
    plain_snapshots,
)
from modelservice_runtime.settings.batching import ModelSample
from modelservice_runtime.settings.models import ModelSource, VersionLabel, VersionPolicy
from modelservice_runtime.settings.plain_values import from_plain, to_plain
from modelservice_runtime.settings.security import JwtSettings, SecuritySettings, TlsSettings
from modelservice_runtime.settings.serve import ServeSettings
from modelservice_runtime.settings.sessions import (
    ArenaExtendStrategy,
    CudaOptions,
    ShapeProfile,
    TensorRtOptions,
)
from modelservice_runtime.tensors import BF16, BYTES, FP32, TensorSpec
from modelservice_runtime.workers.answers import LOAD_TOPIC, MODELS_TOPIC, WorkerAnswers
from modelservice_runtime.workers.messages import LOAD, LOOK, MODELS, REPORT
from modelservice_runtime.workers.shared_port import SharedPort

PLAIN = ServeSettings(models=(ModelSource("m", Path("/m")),))
EVERYTHING = replace(
    PLAIN,
    version_policy=VersionPolicy.ALL,
    version_labels=(VersionLabel("m", "stable", "3"),),
    execution_providers=("CUDA", "CPU"),
    cuda=CudaOptions(memory_limit_bytes=5, arena_extend_strategy=ArenaExtendStrategy.SAME_AS_REQUESTED),
    tensorrt=TensorRtOptions(True, Path("/c"), profiles=(ShapeProfile("x", (1,), (2,), (3,)),)),
    max_batch_delay_seconds=0.5,
    samples=(ModelSample("a.json"), ModelSample("x:1x2", "m")),
    security=SecuritySettings(
        Path("/k"), JwtSettings(Path("/j"), "i", "a"), TlsSettings(Path("/c"), Path("/d"))
    ),
)


@pytest.mark.parametrize("settings", [PLAIN, EVERYTHING])
def test_settings_reach_another_process_unchanged(settings: ServeSettings) -> None:
    text = orjson.dumps(to_plain(settings))
    assert from_plain(ServeSettings, orjson.loads(text)) == settings


def make_snapshots(count: int, pending: int = 0, name: str = "m") -> Snapshots:
    statistics = ModelStatistics()
    for number in range(count):
        statistics.record_inline(0, 1000, 5000, 9_000_000)
        statistics.record_execution(2, number, Timing(0, 1, 2, 3))
        statistics.record_failure("OTHER", 0, 5)
    tensors = (TensorSpec("x", FP32, (-1, 4)), TensorSpec("y", BYTES, ()), TensorSpec("z", BF16, None))
    inside = {"inputs": tensors, "outputs": tensors[1:]}
    return [
        ModelSnapshot(name, "1", pending, statistics, **inside, waiting=pending // 2, in_flight_ns=10 * count)
    ]


def test_merged_snapshots_tell_what_holds_in_every_process() -> None:
    on, off = Batching(8, source="graph"), Batching(obstacle="a batch showed it")
    waits = Batching(obstacle="not yet checked", source="graph")

    def merged(*found: Batching | None) -> Batching | None:
        parts = [[replace(make_snapshots(1)[0], batching=batching)] for batching in found]
        (whole,) = parse_snapshots(
            orjson.loads(
                orjson.dumps(plain_snapshots(merge_snapshots(parts)), option=orjson.OPT_NON_STR_KEYS)
            )
        )
        return whole.batching

    assert merged(on, on, None) == on
    assert merged(on, waits) == merged(waits, on) == waits
    assert merged(on, waits, off) == merged(off, waits, on) == off
    assert merged(None) is None


def test_merged_snapshots_count_what_each_process_counted() -> None:
    (merged,) = merge_snapshots([make_snapshots(2, pending=2), make_snapshots(3, pending=4)])
    (whole,) = make_snapshots(5, pending=6)
    whole.statistics.last_run_ns = merged.statistics.last_run_ns
    assert merged == whole
    assert merged.statistics.execution_count == 10
    assert merge_snapshots([make_snapshots(1), make_snapshots(1, name="n")])[1].name == "n"


def test_snapshots_reach_another_process_unchanged() -> None:
    snapshots = make_snapshots(3, pending=2)
    text = orjson.dumps(plain_snapshots(snapshots), option=orjson.OPT_NON_STR_KEYS)
    assert parse_snapshots(orjson.loads(text)) == snapshots


class FakeLink:
    """A worker that answers when the test wants."""

    def __init__(self, reports: WorkerAnswers[Snapshots]) -> None:
        self._reports = reports
        self.asked: list[int] = []

    def send(self, message: dict[str, Any]) -> None:
        self.asked.append(message[REPORT])

    def answer(self, count: int, pending: int = 0) -> None:
        plain = orjson.dumps(plain_snapshots(make_snapshots(count, pending)), option=orjson.OPT_NON_STR_KEYS)
        message = {REPORT: self.asked[-1], MODELS: orjson.loads(plain)}
        self._reports.receive(self, message)  # type: ignore[arg-type]


async def test_reports_wait_for_all_and_keep_what_a_dead_worker_counted() -> None:
    reports = WorkerAnswers(asyncio.get_running_loop(), MODELS_TOPIC)
    one, two = FakeLink(reports), FakeLink(reports)
    gathered: list[Snapshots] = []
    reports.gather(gathered.append)
    assert gathered == [[]]
    reports.add(one)  # type: ignore[arg-type]
    reports.add(two)  # type: ignore[arg-type]
    reports.gather(gathered.append)
    one.answer(2, pending=7)
    assert len(gathered) == 1
    two.answer(3)
    assert gathered[1][0].statistics.success_count == 5
    reports.gather(gathered.append)
    two.answer(4)
    reports.remove(one)  # type: ignore[arg-type]
    (summed,) = gathered[2]
    assert (summed.statistics.success_count, summed.pending, summed.waiting) == (6, 0, 0)
    assert summed.in_flight_ns == 60


async def test_reports_of_a_busy_worker_are_those_of_the_last_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelservice_runtime.workers.answers._PATIENCE_SECONDS", 0.02)
    reports = WorkerAnswers(asyncio.get_running_loop(), MODELS_TOPIC)
    busy = FakeLink(reports)
    reports.add(busy)  # type: ignore[arg-type]
    gathered: list[Snapshots] = []
    reports.gather(gathered.append)
    busy.answer(2)
    answered = asyncio.Event()
    reports.gather(lambda snapshots: (gathered.append(snapshots), answered.set())[0])
    await asyncio.wait_for(answered.wait(), 120)
    busy.answer(9)  # too late for that scrape, in time for the next
    assert [snapshots[0].statistics.success_count for snapshots in gathered] == [2, 2]


async def test_load_of_workers_is_summed_and_a_dead_one_runs_nothing() -> None:
    loads = WorkerAnswers(asyncio.get_running_loop(), LOAD_TOPIC)
    asked: dict[str, list[int]] = {"one": [], "two": []}

    class Worker:
        def __init__(self, name: str) -> None:
            self.send = lambda message: asked[name].append(message[LOOK])
            self.name = name

        def answer(self, load: Load) -> None:
            message = {LOOK: asked[self.name][-1], LOAD: orjson.loads(orjson.dumps(plain_load(load)))}
            loads.receive(self, message)  # type: ignore[arg-type]

    one, two = Worker("one"), Worker("two")
    gathered: list[Load] = []
    for worker in (one, two):
        loads.add(worker)  # type: ignore[arg-type]
    counts = [1] * (len(QUEUE_BUCKETS_SECONDS) + 1)
    loads.gather(gathered.append)
    one.answer(Load(2, 3, 5_000, 7, 900, counts, 1.5, 100))
    two.answer(Load(1, 0, 1_000, 4, 800, counts, 0.5, 50))
    loads.gather(gathered.append)
    loads.remove(one)  # type: ignore[arg-type]
    two.answer(Load(0, 0, 2_000, 5, 950, counts, 0.75, 60))

    summed = [2 * count for count in counts]
    assert gathered == [
        Load(3, 3, 6_000, 11, 900, summed, 2.0, 150),
        Load(0, 0, 7_000, 12, 950, summed, 2.25, 60),
    ]


def test_shared_port_is_refused_where_somebody_listens() -> None:
    with SharedPort("127.0.0.1", 0) as held, socket.socket() as user:
        user.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        user.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        user.bind(("127.0.0.1", held.number))
        user.listen()
        with (
            pytest.raises(AddressUnavailableError, match="stop its user"),
            SharedPort("127.0.0.1", held.number),
        ):
            pass


def metrics(server: ServerProcess) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as response:
        return str(response.read().decode())


def look(server: ServerProcess, path: str = "load") -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/{path}") as response:
        page: dict[str, Any] = json.load(response)
        return page


def worker_pids(server: ServerProcess) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def wait_for_metric(server: ServerProcess, line: str) -> None:
    deadline = time.monotonic() + 120
    while line not in metrics(server):
        assert time.monotonic() < deadline, metrics(server)
        time.sleep(0.05)


def test_workers_share_the_port_and_one_that_dies_is_replaced(model_files: dict[str, Path]) -> None:
    with server_process(
        "--model", f"mlp={model_files['mlp']}", "--workers", "2", "--drain-delay-seconds", "2"
    ) as server:
        server.wait_for("ready")
        assert [record["message"] for record in server.records].count("model tried") == 1
        for _ in range(20):
            assert post(server.http_port, "mlp", BODY)[0] == 200
        # A worker that is too busy to answer at once is told of by what it said before.
        wait_for_metric(server, 'nv_inference_request_success{model="mlp",version="1"} 20.0')
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/v2/models/stats") as response:
            assert json.load(response)["model_stats"][0]["inference_count"] == 20
        wait_until(lambda: look(server)["requests"] == 20, "they are counted")
        before = look(server)
        assert 0 < look(server, "report")["warmSeconds"] < before["uptimeSeconds"]
        assert 0 < look(server, "report")["loadSeconds"] < before["uptimeSeconds"]
        assert sum(before["queueSeconds"]["counts"]) == 20
        os.kill(worker_pids(server)[0], signal.SIGKILL)
        server.wait_for("a worker ended; it is started again")
        assert post(server.http_port, "mlp", BODY)[0] == 200
        wait_for_metric(server, "modelservice_workers_ready 2.0")
        assert "modelservice_worker_restarts_total 1.0" in metrics(server)
        wait_for_metric(server, 'nv_inference_request_success{model="mlp",version="1"} 21.0')
        wait_until(lambda: look(server)["requests"] == 21, "it is counted")
        after = look(server)
        for name in ("uptimeSeconds", "inFlightSeconds", "cpuSeconds"):
            assert after[name] > before[name] > 0, name
        stop = threading.Event()
        callers = [Caller(server.http_port, stop) for _ in range(4)]
        threads = [threading.Thread(target=caller.run) for caller in callers]
        for thread in threads:
            thread.start()
        while min(len(caller.statuses) for caller in callers) < 20:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("signal received")
        stop.set()
        for thread in threads:
            thread.join(120)
        assert [caller.failures for caller in callers] == [[]] * 4
        assert server.process.wait(120) == 0


def test_workers_that_cannot_start_end_the_server_with_their_own_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    code, text = run_to_the_end("--model", f"m={tmp_path}", "--workers", "2")
    assert code == 1
    assert text.splitlines()[-1].startswith("ModelLoadFailed: ") or text.splitlines()[-1].startswith(
        "ModelRejected: "
    )


IN_ANOTHER_DIRECTORY = """
import os, sys
sys.path.remove("")
os.chdir(os.environ["DIRECTORY"])
from modelservice_runtime.serving import serve
sys.exit(serve.run(sys.argv[1:]))
"""


def test_modules_in_the_directory_of_the_start_are_not_imported(
    model_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported')")
    monkeypatch.setenv("DIRECTORY", str(tmp_path))
    arguments = ("--model", f"mlp={model_files['mlp']}", "--workers", "2", "--drain-delay-seconds", "0")
    with server_process(*arguments, program=IN_ANOTHER_DIRECTORY) as server:
        server.wait_for("ready")
        assert server.end() == 0


def test_workers_end_when_their_parent_is_killed(model_files: dict[str, Path]) -> None:
    with server_process("--model", f"mlp={model_files['mlp']}", "--workers", "2") as server:
        server.wait_for("ready")
        workers = worker_pids(server)
        server.process.kill()
        deadline = time.monotonic() + 120
        while any(is_running(pid) for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
