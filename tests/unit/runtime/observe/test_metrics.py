"""The metrics' names and values, read by Prometheus' own parser."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.runtime.fake_nvml import make_nvml
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.machine.logs import JsonFormatter
from modelservice_runtime.machine.memory.cgroup import ControlGroups
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.models.snapshots import ModelSnapshot, Snapshots
from modelservice_runtime.observe.metrics import MetricsApplication

FAILURE = "nv_inference_request_failure"
TRITON_COUNTERS = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count",
    "nv_inference_exec_count", "nv_inference_request_duration_us", "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us", "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
}  # fmt: skip

WAITS = ("0.001", "0.035", "0.05", "0.07", "30.0", "+Inf")


def scrape(server: ServerThread) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(response.read().decode())


def values(text: str, model: str) -> Mapping[str, float]:
    # The parser gives counters the suffix that OpenMetrics wants.
    return {
        sample.name.removesuffix("_total")
        + sample.labels.get("reason", "")
        + sample.labels.get("le", ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("model") == model
    }


def test_counters_keep_tritons_names_and_types(server: ServerThread) -> None:
    text = scrape(server)
    for name in TRITON_COUNTERS:
        assert f"# TYPE {name} counter\n" in text
        assert f'{name}{{model="mlp"' in text
    assert "# TYPE nv_inference_pending_request_count gauge\n" in text
    assert "# TYPE modelservice_request_duration_seconds histogram\n" in text
    assert "process_resident_memory_bytes" in text


def test_requests_are_counted_by_outcome(server: ServerThread) -> None:
    before = values(scrape(server), "mlp")
    good = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [0] * 8}
    assert server.infer("mlp", [good]).status == 200
    assert server.infer("mlp", [good | {"shape": [3, 4]}]).status == 400
    after = values(scrape(server), "mlp")

    def grown(name: str) -> float:
        return after[name] - before[name]

    assert grown("nv_inference_request_success") == 1
    assert grown("nv_inference_request_failureOTHER") == 1
    assert grown("nv_inference_exec_count") == 1
    assert grown("modelservice_request_duration_seconds_count") == 2
    assert grown("modelservice_request_duration_seconds_bucket+Inf") == 2
    assert grown("modelservice_request_duration_seconds_sum") > 0
    assert grown("modelservice_in_flight_seconds") == pytest.approx(
        grown("modelservice_request_duration_seconds_sum")
    )
    assert grown("modelservice_request_queue_seconds_bucket0.001") == 1
    assert grown("modelservice_request_queue_seconds_bucket+Inf") == 1
    for name in (
        "nv_inference_pending_request_count",
        "modelservice_requests_running",
        "modelservice_requests_waiting",
    ):
        assert after[name] == 0


def test_input_that_the_model_refuses_while_it_runs_counts_as_its_failure(server: ServerThread) -> None:
    before = values(scrape(server), "gather")
    past_the_table = {"name": "x", "shape": [1], "datatype": "INT64", "data": [9]}
    assert server.infer("gather", [past_the_table]).status == 400
    assert server.infer("gather", [past_the_table | {"datatype": "FP32"}]).status == 400
    after = values(scrape(server), "gather")

    grown = {reason: after[FAILURE + reason] - before[FAILURE + reason] for reason in ("BACKEND", "OTHER")}
    assert grown == {"BACKEND": 1, "OTHER": 1}


def test_requests_in_flight_are_told_apart() -> None:
    statistics = ModelStatistics(success_ns=5_000_000_000, queue_counts=[0] * 25, waited_ns=7_500_000_000)
    for wait_seconds in (0.0004, 0.05, 0.0501, 40):
        statistics.record_wait(int(wait_seconds * 1e9))
    text = render([ModelSnapshot("m", "1", 7, statistics, waiting=4, in_flight_ns=9_500_000_000)])

    told = values(text, "m")
    assert told["nv_inference_pending_request_count"] == 7
    assert (told["modelservice_requests_running"], told["modelservice_requests_waiting"]) == (3, 4)
    assert told["modelservice_in_flight_seconds"] == 9.5
    assert "# TYPE modelservice_in_flight_seconds_total counter\n" in text
    buckets = {bound: told[f"modelservice_request_queue_seconds_bucket{bound}"] for bound in WAITS}
    assert list(buckets.values()) == [1, 1, 2, 3, 3, 4]
    assert told["modelservice_request_queue_seconds_count"] == 4
    assert told["modelservice_request_queue_seconds_sum"] == pytest.approx(7.5 + 40.1005)


def render(snapshots: Snapshots) -> str:
    return MetricsApplication(ModelTable()).render(snapshots).decode()


def test_answers_with_nan_are_counted(server: ServerThread) -> None:
    before = values(scrape(server), "log")["modelservice_nonfinite_responses"]
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [-1, 1]}
    assert server.infer("log", [tensor]).status == 200

    text = scrape(server)
    assert "# TYPE modelservice_nonfinite_responses_total counter\n" in text
    assert f'modelservice_nonfinite_responses_total{{model="log",version="1"}} {before + 1}\n' in text


@pytest.mark.parametrize(("path", "method", "code"), [("/", "GET", 404), ("/metrics", "POST", 405)])
def test_metrics_port_serves_nothing_else(server: ServerThread, path: str, method: str, code: int) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{server.metrics_port}{path}", method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == code
    caught.value.close()


@pytest.mark.parametrize(
    "text",
    ["\n{}", "\r\n", "\u2028", "\u2029", "\x85", "\x1b[2J", "\x7f", "\x9b2J", "\ud800", '"}', "\u202e"],
)
def test_log_lines_are_json_and_cannot_be_forged(text: str) -> None:
    record = logging.LogRecord("n", logging.WARNING, "f", 1, "bad %s", (text,), None)
    record.model = text
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    document = json.loads(line)
    assert (document["level"], document["message"], document["model"]) == ("warning", f"bad {text}", text)


def test_gpus_are_gauges_where_there_are_any() -> None:
    table = ModelTable()
    text = MetricsApplication(table, open_gpus(lambda _: make_nvml(2))).render([]).decode()
    assert 'nv_gpu_utilization{gpu_uuid="GPU-0"} 0.25' in text
    assert 'nv_gpu_utilization{gpu_uuid="GPU-1"}' not in text
    assert 'nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 1000.0' in text
    assert 'nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 101.0' in text
    assert "nv_gpu" not in MetricsApplication(table, None).render([]).decode()


def test_memory_is_that_of_the_container_with_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 1500\ninactive_file 1000\n")
    monkeypatch.setattr(
        "modelservice_runtime.observe.metrics.find_control_groups",
        lambda: ControlGroups(version_2=(tmp_path,), memory_1=(), cpu_1=()),
    )
    text = render([])
    assert "modelservice_memory_working_set_bytes 2000.0\n" in text
    assert "modelservice_memory_limit_bytes" not in text
    (tmp_path / "memory.max").write_text("8000\n")
    assert "modelservice_memory_limit_bytes 8000.0\n" in render([])
