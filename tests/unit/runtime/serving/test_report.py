"""`GET /report`: what a server tells about itself."""

from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.model import Batching
from modelservice_runtime.models.content import ModelContent
from modelservice_runtime.models.snapshots import ModelSnapshot, merge_snapshots
from modelservice_runtime.serving.report import build_report

A, B = ModelContent("a" * 64, None, 7), ModelContent("b" * 64, "c" * 64, 8)


def snapshot(*contents: ModelContent | None, batching: Batching | None = None) -> ModelSnapshot:
    return ModelSnapshot("m", "1", 0, ModelStatistics(), batching or Batching(), ("probabilities",), contents)


def test_report_names_content_batching_and_what_is_left_out() -> None:
    report = build_report([snapshot(B, batching=Batching(1, "node 'x' sorts rows", None))])
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
        }
    ]


def test_report_of_workers_lists_each_content_once() -> None:
    report = build_report(merge_snapshots([[snapshot(A)], [snapshot(A)], [snapshot(B)]]))
    assert [entry["sha256"] for entry in report["models"]] == ["a" * 64, "b" * 64]
    assert report["digestsComplete"]


def test_report_is_incomplete_while_a_worker_still_reads() -> None:
    report = build_report(merge_snapshots([[snapshot(A)], [snapshot(None)]]))
    assert not report["digestsComplete"]


def test_report_forgets_what_only_a_dead_worker_loaded() -> None:
    dead = ModelSnapshot("m", "1", 0, ModelStatistics())
    assert (
        build_report(merge_snapshots([[dead], [snapshot(A)]]))["models"]
        == build_report([snapshot(A)])["models"]
    )
    assert build_report([dead])["models"] == []
