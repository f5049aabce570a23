"""`GET /report` on the metrics port: what this server serves, for the operator and for people."""

from collections.abc import Iterator
from typing import Any

import orjson

from modelservice_runtime.model import Batching
from modelservice_runtime.models.snapshots import ModelSnapshot, Snapshots, SnapshotSource, plain_tensors
from modelservice_runtime.protocols.metadata import server_version
from modelservice_runtime.serving.life import Life
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

PATH = b"/report"
# Models have some dozen tensors; one with thousands must not make the report longer than anybody reads.
LARGEST_SIGNATURE_BYTES = 64 * 1024


def build_report(snapshots: Snapshots, life: Life) -> dict[str, Any]:
    """The report as JSON values.

    A version has one entry in `models`, and more where its processes loaded different files. Until
    `digestsComplete` some are still being read.
    """
    served = [snapshot for snapshot in snapshots if snapshot.contents]
    return {
        "runtime": {"version": server_version()},
        "loadSeconds": life.load_seconds,
        "warmSeconds": None if life.ready_ns is None else life.warm_seconds,
        "digestsComplete": all(None not in snapshot.contents for snapshot in served),
        "models": [entry for snapshot in served for entry in _entries(snapshot)],
    }


class ReportPage:
    """Answers `GET /report`."""

    def __init__(self, source: SnapshotSource, life: Life) -> None:
        self._source = source
        self._life = life

    def __call__(self, request: HttpRequest) -> None:
        """Answer one request."""
        self._source.gather(
            lambda snapshots: request.reply(
                HttpResponse(200, orjson.dumps(build_report(snapshots, self._life)))
            )
        )


def _entries(snapshot: ModelSnapshot) -> Iterator[dict[str, Any]]:
    batching = snapshot.batching or Batching()
    signature = _signature(snapshot)
    for content in snapshot.contents:
        yield {
            "name": snapshot.name,
            "version": snapshot.version,
            "sha256": content.sha256 if content else None,
            "externalDataSha256": content.external_data_sha256 if content else None,
            "sizeBytes": content.size_bytes if content else None,
            "batching": {
                "maxBatchSize": batching.max_batch_size,
                "obstacle": batching.obstacle,
                "source": batching.source,
            },
            "leftOutOutputs": list(snapshot.left_out_outputs),
            **signature,
        }


def _signature(snapshot: ModelSnapshot) -> dict[str, Any]:
    """What clients send and get, nothing where that is too long to tell."""
    signature = {"inputs": plain_tensors(snapshot.inputs), "outputs": plain_tensors(snapshot.outputs)}
    is_short = len(orjson.dumps(signature)) <= LARGEST_SIGNATURE_BYTES
    return signature if is_short else {"inputs": None, "outputs": None}
