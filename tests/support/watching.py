"""What a test sees of a cluster without missing a moment: watches in threads of their own."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hack.cluster.api import Api

WATCH_SECONDS = 1
"""How long one watch lasts, and so how long the end of the thread may take."""


class Watch:
    """Hands every event of a collection to `note`, from the objects that there are when it starts."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._path = path
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)
        self._version = ""

    def __enter__(self) -> Self:
        listed = self._api.get(self._path)
        self._version = listed["metadata"]["resourceVersion"]
        for item in listed["items"]:
            self.note("ADDED", item)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(10 * WATCH_SECONDS)

    def note(self, kind: str, item: Mapping[str, Any]) -> None:
        """Take one event; called in the thread of the watch."""
        raise NotImplementedError

    def _run(self) -> None:
        while not self._ends.is_set():
            for event in self._api.watch(self._path, self._version, WATCH_SECONDS):
                assert event["type"] != "ERROR", event
                self._version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self.note(event["type"], event["object"])


class CreationWatch(Watch):
    """Counts the objects of one kind that were made for each service."""

    def __init__(self, api: Api, path: str) -> None:
        super().__init__(api, path)
        self._uids: dict[str, str] = {}

    def note(self, kind: str, item: Mapping[str, Any]) -> None:
        """Remember whose object this is."""
        metadata = item["metadata"]
        self._uids[metadata["uid"]] = metadata.get("labels", {}).get("modelservice.dev/name", "")

    def count(self, service: str) -> int:
        """Return how many there were so far."""
        return Counter(self._uids.values())[service]


class EndpointWatch(Watch):
    """The pods that clients of each Service found, at every moment."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
        self._slices: dict[str, dict[str, frozenset[str]]] = {}
        self._moments: dict[str, list[frozenset[str]]] = {}

    def note(self, kind: str, item: Mapping[str, Any]) -> None:
        """Remember whom clients find from now on."""
        metadata = item["metadata"]
        service = metadata.get("labels", {}).get("kubernetes.io/service-name")
        if service is None:
            return
        slices = self._slices.setdefault(service, {})
        slices[metadata["name"]] = frozenset() if kind == "DELETED" else _ready_pods(item)
        self._moments.setdefault(service, []).append(frozenset().union(*slices.values()))

    def pods(self, service: str) -> frozenset[str]:
        """Return the pods that clients find now."""
        return self._moments.get(service, [frozenset()])[-1]

    def wait_for(self, service: str, count: int, revision: str = "") -> int:
        """Wait until clients find so many pods, all of them of a revision where one is named.

        Returns the moment.
        """

        def are_found() -> bool:
            pods = self.pods(service)
            return len(pods) == count and all(pod.startswith(f"{service}-{revision}") for pod in pods)

        wait_until(are_found, f"clients of {service} find {count} pods {revision}", 120)
        return self.now(service)

    def now(self, service: str) -> int:
        """Return the number of the newest moment."""
        return len(self._moments.get(service, [])) - 1

    def fewest(self, service: str, since: int) -> int:
        """Return the fewest pods that clients found since a moment."""
        return min(len(pods) for pods in self._moments[service][since:])

    def revisions(self, service: str, since: int) -> set[str]:
        """Return the revisions whose pods clients found since a moment."""
        pods = frozenset().union(*self._moments[service][since:])
        return {pod.removeprefix(f"{service}-").split("-")[0] for pod in pods}


def _ready_pods(found: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        one["targetRef"]["name"] for one in found["endpoints"] or () if one["conditions"].get("ready")
    )
