"""One look at a ModelService: what the user may read of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from modelservice_cli.rollout.cluster.api import Cluster, Object
from modelservice_cli.rollout.cluster.errors import ForbiddenError
from modelservice_cli.rollout.facts import Facts, Record, counts_agree, read_deployments, read_records
from modelservice_cli.rollout.pods import unexplained
from modelservice_operator.facts.kinds import CONTROLLER_REVISIONS, DEPLOYMENTS

_EXPLAINED_PODS = 3
"""Pods whose events are read: those of one revision fail alike."""

_LOOKS = 5
AGAIN_SECONDS = 0.1
"""The operator writes a status some tenths of a second after pods have changed."""

Answer = TypeVar("Answer")


class Reader:
    """Reads one ModelService again and again. Its methods may raise CommandError."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name
        self._known: tuple[Record, ...] = ()

    def service(self) -> Facts:
        """The ModelService alone."""
        return Facts(service=self._cluster.read_service(self._namespace, self._name))

    def history(self) -> Facts:
        """The ModelService and its records; the user must be allowed to read them."""
        service = self._cluster.read_service(self._namespace, self._name)
        return Facts(service=service, records=self._records(service))

    def everything(self) -> Facts:
        """The same with Deployments, pods and their events; what may not be read is left out.

        They are several reads. Where the status was written meanwhile, or counts other pods, all is read
        again; where that does not help, the facts say that they are not of one moment.
        """
        service = self._cluster.read_service(self._namespace, self._name)
        for _ in range(_LOOKS - 1):
            facts, before = self._around(service), service
            service = self._cluster.read_service(self._namespace, self._name)
            if _version(before) == _version(service) and counts_agree(facts):
                return facts
            time.sleep(AGAIN_SECONDS)
        facts = self._around(service)
        return replace(facts, settled=counts_agree(facts))

    def _around(self, service: Object) -> Facts:
        unreadable: list[str] = []

        def if_allowed(what: str, read: Callable[[], Answer]) -> Answer | None:
            try:
                return read()
            except ForbiddenError:
                unreadable.append(what)
                return None

        records = if_allowed("ControllerRevisions", lambda: self._known_records(service))
        deployments = if_allowed("Deployments", lambda: self._children(service))
        pods = if_allowed("Pods", lambda: self._cluster.list_pods(self._namespace, self._name))
        warnings = if_allowed("Events", lambda: self._warnings(pods or []))
        return Facts(
            service=service,
            records=records,
            deployments=deployments,
            pods=pods,
            warnings=warnings or (),
            unreadable=tuple(unreadable),
        )

    def _records(self, service: Object) -> tuple[Record, ...]:
        found = self._cluster.list_children(CONTROLLER_REVISIONS, self._namespace, self._name)
        return read_records(service, found)

    def _known_records(self, service: Object) -> tuple[Record, ...]:
        """Those of the look before, unless there is a new target: what a record holds never changes."""
        target = (service.get("status") or {}).get("targetRevision")
        if target not in {one.revision for one in self._known}:
            self._known = self._records(service)
        return self._known

    def _children(self, service: Object) -> Mapping[str, Any]:
        found = self._cluster.list_children(DEPLOYMENTS, self._namespace, self._name)
        return read_deployments(service, found)

    def _warnings(self, pods: list[Object]) -> list[Object]:
        uids = [str(pod["metadata"]["uid"]) for pod in unexplained(pods, _EXPLAINED_PODS)]
        return [event for uid in uids for event in self._cluster.list_warnings(self._namespace, uid)]


def _version(service: Object) -> str:
    return str(service["metadata"].get("resourceVersion"))
