"""Which model files the pods of a revision have loaded: what servers say, else what fetchers said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.facts import pods as podlib

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.facts.observed import PodReport, ReportedModel


class FetchReport(msgspec.Struct, frozen=True, rename="camel"):
    """The termination message of the fetcher."""

    reason: str
    message: str = ""
    sha256: str | None = None
    size_bytes: int | None = None
    commit: str | None = None


class LoadedModel(msgspec.Struct, frozen=True):
    """A model, by the content of its files; fetchers tell nothing about external data."""

    sha256: str
    size_bytes: int
    external_data_sha256: str | None = None

    def differs(self, sha256: str, external_data_sha256: str | None) -> bool:
        """Whether it is surely another model."""
        external = self.external_data_sha256
        are_known = external is not None and external_data_sha256 is not None
        return self.sha256 != sha256 or (are_known and external != external_data_sha256)


def parse_report(terminated: Mapping[str, Any]) -> FetchReport | None:
    """Return the report in a container's termination message, None where there is none."""
    try:
        return msgspec.json.decode(terminated.get("message") or "", type=FetchReport)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


def loaded_models(
    pods: Sequence[Mapping[str, Any]], revision: str, reports: Mapping[str, PodReport]
) -> tuple[LoadedModel, ...]:
    """Return the different models that the pods of a revision loaded, those of the oldest pods first.

    `reports` are those of servers, by the pods' UIDs. More than one model means that the content behind the
    URI changed between two loads.
    """
    found: dict[LoadedModel, None] = {}
    for pod in podlib.of_revision(pods, revision):
        report = reports.get(str(pod["metadata"].get("uid")))
        found |= dict.fromkeys((_served(report) if report else []) or _fetched(pod))
    return tuple(found)


def first_report(
    pods: Sequence[Mapping[str, Any]], revision: str, reports: Mapping[str, PodReport]
) -> ReportedModel | None:
    """Return what the oldest pod of a revision that says anything says about its model."""
    for pod in podlib.of_revision(pods, revision):
        report = reports.get(str(pod["metadata"].get("uid")))
        if report is not None and report.models:
            return report.models[0]
    return None


def first_commit(pods: Sequence[Mapping[str, Any]], revision: str, sha256: str) -> str | None:
    """Return the commit that the oldest pod with this model fetched it at, None where none says so."""
    reports = (_fetch_report(pod) for pod in podlib.of_revision(pods, revision))
    return next((one.commit for one in reports if one and one.commit and one.sha256 == sha256), None)


def _served(report: PodReport) -> list[LoadedModel]:
    return [
        LoadedModel(one.sha256, one.size_bytes or 0, one.external_data_sha256)
        for one in report.models
        if one.sha256
    ]


def _fetch_report(pod: Mapping[str, Any]) -> FetchReport | None:
    ended = podlib.state(podlib.fetcher(pod), "terminated")
    return parse_report(ended) if ended.get("exitCode") == 0 else None


def _fetched(pod: Mapping[str, Any]) -> list[LoadedModel]:
    report = _fetch_report(pod)
    return [LoadedModel(report.sha256, report.size_bytes or 0)] if report and report.sha256 else []
