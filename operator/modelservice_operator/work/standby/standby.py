"""Gathers what a decision about a service's sleep goes by, and asks what it wants to know next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from modelservice_operator.decide.standby.read import find_slice, may_sleep
from modelservice_operator.facts import ports
from modelservice_operator.facts.endpoints import read_slice
from modelservice_operator.facts.errors import FORBIDDEN, ApiError
from modelservice_operator.facts.kinds import ENDPOINT_SLICES
from modelservice_operator.facts.labels import SLICE_MANAGED_BY, SLICE_OF, STANDBY_MANAGER
from modelservice_operator.facts.standby import Surroundings
from modelservice_operator.work.standby.listening import Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.cache.activators import ActivatorPods
    from modelservice_operator.cache.ports import PortBook
    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts.observed import Observed
    from modelservice_operator.facts.standby import Activators
    from modelservice_operator.work.pods.reader import PodReader
    from modelservice_operator.work.standby.listening import Listening

Led = tuple["Mapping[str, Any]", ...]


@dataclass(frozen=True, kw_only=True)
class Standbys:
    """What is known about who can stand in for services."""

    api: ApiClient
    pods: PodReader
    book: PortBook
    listening: Listening
    activators: ActivatorPods | None
    """None where the cluster has none."""

    def surround(self, key: Key, observed: Observed, led: Led | None = None) -> Observed:
        """Return the same with what concerns its sleep; `led` is what a look has just shown."""
        uid = observed.service["metadata"]["uid"]
        if not may_sleep(observed.service) and find_slice(observed.others, uid) is None:
            # It may be waking for the last time: then the look is what ends that.
            return observed if led is None else replace(observed, surroundings=Surroundings(led=led))
        activators = self.activators.now if self.activators is not None else None
        heard = self.listening.heard(key)
        return replace(
            observed,
            surroundings=Surroundings(
                activators=activators,
                ports=self.book.offer(key) if activators is not None else None,
                listening=heard.listening,
                silent=heard.silent,
                led=led,
            ),
        )

    async def look(self, key: Key) -> Led:
        """Read the ready pods that clients of the service's Service find. Raises ApiError."""
        slices = await self.api.list_by(ENDPOINT_SLICES, key.namespace, labels=f"{SLICE_OF}={key.name}")
        ready = [
            endpoint
            for one in slices
            if (one["metadata"].get("labels") or {}).get(SLICE_MANAGED_BY) != STANDBY_MANAGER
            for endpoint in read_slice(one).endpoints
            if endpoint.ready and endpoint.pod_uid
        ]
        if not ready:
            return ()
        try:
            pods = {pod["metadata"]["uid"]: pod for pod in await self.pods.look(key)}
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            return tuple({"metadata": {"name": one.pod, "uid": one.pod_uid}} for one in ready)
        return tuple(pods[one.pod_uid] for one in ready if one.pod_uid in pods)

    def follow(self, key: Key, observed: Observed, decision: Decision) -> None:
        """Ask what the decision wants to know next, and nothing else."""
        switch, activators = decision.standby, observed.surroundings.activators
        offered = observed.surroundings.ports
        if switch is None or switch.slice is None or activators is None or offered is None:
            self.listening.forget(key)
        elif switch.asks:
            ready = {endpoint for one in activators.slices for endpoint in one.endpoints}
            question = Question(switch.slice.ports, _http_port(activators))
            self.listening.ask(key, question, switch.asks, ready)
        elif switch.phase == "Awake" or switch.standby_since is not None:
            self.listening.forget(key)

    def forget(self, key: Key) -> None:
        """The service is gone."""
        self.listening.forget(key)
        self.book.release(key)


def _http_port(activators: Activators) -> int:
    """Where activators say what they listen on: as their own Service names it."""
    return next(
        (one.ports[ports.METRICS_NAME] for one in activators.slices if ports.METRICS_NAME in one.ports),
        ports.ACTIVATOR,
    )
