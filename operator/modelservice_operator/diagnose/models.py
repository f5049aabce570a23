"""Which model files the pods of a revision have loaded: the fetcher's report of its success."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.diagnose import pods as podlib

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FetchReport(msgspec.Struct, frozen=True, rename="camel"):
    """The termination message of the fetcher."""

    reason: str
    message: str = ""
    sha256: str | None = None
    size_bytes: int | None = None


class LoadedModel(msgspec.Struct, frozen=True, order=True):
    """A model file, by its content."""

    sha256: str
    size_bytes: int


def parse_report(terminated: Mapping[str, Any]) -> FetchReport | None:
    """Return the report in a container's termination message, None where there is none."""
    try:
        return msgspec.json.decode(terminated.get("message") or "", type=FetchReport)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


def loaded_models(pods: Sequence[Mapping[str, Any]], revision: str) -> tuple[LoadedModel, ...]:
    """Return the different models that the pods of a revision fetched, in a fixed order.

    More than one means that the content behind the URI changed between two downloads.
    """
    found = set()
    for pod in podlib.of_revision(pods, revision):
        ended = podlib.state(podlib.fetcher(pod), "terminated")
        report = parse_report(ended) if ended.get("exitCode") == 0 else None
        if report is not None and report.sha256:
            found.add(LoadedModel(sha256=report.sha256, size_bytes=report.size_bytes or 0))
    return tuple(sorted(found))
