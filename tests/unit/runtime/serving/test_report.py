"""`GET /report`: what a server tells about itself."""

import time
from dataclasses import replace

import orjson
import pytest

from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.model import Batching
from modelservice_runtime.models.content import ModelContent
from modelservice_runtime.models.snapshots import ModelSnapshot, merge_snapshots
from modelservice_runtime.serving.life import Life
from modelservice_runtime.serving.report import LARGEST_SIGNATURE_BYTES, build_report
from modelservice_runtime.tensors import BYTES, FP32, TensorSpec

A, B = ModelContent("a" * 64, None, 7), ModelContent("b" * 64, "c" * 64, 8)
X, TEXT = TensorSpec("x", FP32, (-1, 4), ("rows", None)), TensorSpec("text", BYTES, ())
Y = TensorSpec("y", FP32, None)


LIFE = Life(1_000_000_000, 4_000_000_000, 0.5)


def snapshot(*contents: ModelContent | None, batching: Batching | None = None) -> ModelSnapshot:
    return ModelSnapshot(
        "m",
        "1",
        0,
        ModelStatistics(),
        batching or Batching(),
        ("probabilities",),
        contents,
        inputs=(X, TEXT),
        outputs=(Y,),
    )


def test_report_names_content_batching_tensors_and_what_is_left_out() -> None:
    report = orjson.loads(
        orjson.dumps(build_report([snapshot(B, batching=Batching(1, "node 'x' sorts rows", None))], LIFE))
    )
    assert report["digestsComplete"]
    assert report["models"] == [
        {
            "name": "m",
            "version": "1",
            "sha256": "b" * 64,
            "externalDataSha256": "c" * 64,
            "sizeBytes": 8,
            "batching": {"maxBatchSize": 1, "obstacle": "node 'x' sorts rows", "source": None},
            "leftOutOutputs": ["probabilities"],
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [-1, 4]},
                {"name": "text", "datatype": "BYTES", "shape": []},
            ],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": None}],
        }
    ]


def test_report_of_workers_lists_each_content_once() -> None:
    report = build_report(merge_snapshots([[snapshot(A)], [snapshot(A)], [snapshot(B)]]), LIFE)
    assert [entry["sha256"] for entry in report["models"]] == ["a" * 64, "b" * 64]
    assert report["digestsComplete"]


def test_report_is_incomplete_while_a_worker_still_reads() -> None:
    report = build_report(merge_snapshots([[snapshot(A)], [snapshot(None)]]), LIFE)
    assert not report["digestsComplete"]


def test_report_forgets_what_only_a_dead_worker_loaded() -> None:
    dead = ModelSnapshot("m", "1", 0, ModelStatistics())
    assert (
        build_report(merge_snapshots([[dead], [snapshot(A)]]), LIFE)["models"]
        == build_report([snapshot(A)], LIFE)["models"]
    )
    assert build_report([dead], LIFE)["models"] == []


def test_report_does_not_grow_with_the_number_of_tensors() -> None:
    inputs = tuple(TensorSpec(f"past_key_values.{number}", FP32, (-1,)) for number in range(5000))
    report = build_report([replace(snapshot(A), inputs=inputs)], LIFE)

    (entry,) = report["models"]
    assert (entry["inputs"], entry["outputs"], entry["sha256"]) == (None, None, "a" * 64)
    assert len(orjson.dumps(report)) < LARGEST_SIGNATURE_BYTES


def test_report_says_how_long_the_start_took_once_it_is_over() -> None:
    report = build_report([snapshot(A)], LIFE)
    assert (report["loadSeconds"], report["warmSeconds"]) == (2.5, 0.5)
    starting = build_report([snapshot(A)], Life(1_000_000_000, warm_seconds=0.5))
    assert (starting["loadSeconds"], starting["warmSeconds"]) == (None, None)


def test_start_counts_from_the_beginning_of_the_process() -> None:
    now_ns = time.perf_counter_ns()
    assert now_ns - Life().started_ns > 0
    assert Life().started_ns == pytest.approx(Life().started_ns, abs=100_000_000)
