"""The ModelServices with `spec.autoscaling`, each as the few facts that scaling needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from modelservice_autoscaler.algorithm.spec import AutoscalerSpec, build_spec
from modelservice_operator.api import Autoscaling, Resources, parse_part, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping


class Key(NamedTuple):
    """Which ModelService."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A ModelService that scales."""

    key: Key
    uid: str
    version: str
    """Its resourceVersion: the precondition of the next write."""
    generation: int
    deleting: bool
    replicas: int
    """What `/scale` says."""
    spec: AutoscalerSpec
    idle_seconds: int | None
    """After how long without a request the last pod goes; None where it stays."""
    engine: str | None
    """Who decides, as the operator says; None as long as it has not."""
    is_complete: bool
    """Whether the operator has done all that the spec asks for."""
    told: Mapping[str, Any] | None
    """The last decision that its status tells of."""
    pod_requests: Mapping[str, str] = field(default_factory=dict)
    """What a pod requests, as the operator says."""
    cannot_sleep: bool = False
    """Whether the operator would keep the last pod, because nobody could stand in for it."""

    @property
    def may_sleep(self) -> bool:
        """Whether we send it to sleep: KEDA does that itself."""
        return self.idle_seconds is not None and not self.cannot_sleep and self.engine in ("Builtin", "HPA")


class Services:
    """All of them by key; listens to a watch of ModelServices."""

    def __init__(self) -> None:
        self._services: dict[Key, Service] = {}
        self.on_change: Callable[[Key], None] = lambda _: None
        """Called with the key of each service that came, changed or went."""

    def get(self, key: Key) -> Service | None:
        """The service, None where there is none or it does not scale."""
        return self._services.get(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(tuple(self._services))

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take in a ModelService as the watch tells it."""
        key = Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
        known = self._services.get(key)
        # Events come in order; only the answer to a write of ours may be ahead of them. A list is complete.
        if event is not None and known is not None and _is_older(obj["metadata"], known):
            return
        service = None if event == "DELETED" else read_service(obj, known)
        if service is not None:
            self._services[key] = service
        elif self._services.pop(key, None) is None:
            return
        self.on_change(key)

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:
        """Forget what went unseen."""
        for key, service in tuple(self._services.items()):
            if key not in seen and int(service.version) <= int(version):
                del self._services[key]
                self.on_change(key)

    def on_written(self, written: Service, version: str, *, replicas: int | None = None) -> None:
        """Take in the answer to a write of ours, unless newer news have come."""
        known = self._services.get(written.key)
        if known is None or known.uid != written.uid or int(known.version) >= int(version):
            return
        replicas = known.replicas if replicas is None else replicas
        # Whatever was complete was so for the number of before.
        complete = known.is_complete and replicas == known.replicas
        self._services[written.key] = replace(known, version=version, replicas=replicas, is_complete=complete)


def read_service(obj: Mapping[str, Any], known: Service | None = None) -> Service | None:
    """The facts about a ModelService; None where it does not scale, or nobody can read how.

    What was `known` of the same generation is not read again: a status changes more often than a spec.
    """
    metadata, status = obj["metadata"], obj.get("status") or {}
    scaling = status.get("autoscaling") or {}
    if (obj.get("spec") or {}).get("autoscaling") is None:
        return None
    requests = scaling.get("podRequests") or {}
    now = (metadata["uid"], metadata["generation"], requests)
    if known is not None and (known.uid, known.generation, known.pod_requests) == now:
        spec, idle_seconds = known.spec, known.idle_seconds
    else:
        autoscaling = parse_part(obj, "autoscaling", Autoscaling)
        if autoscaling is None:
            return None
        spec, idle_seconds = _read_spec(obj, autoscaling, requests), autoscaling.idles_after_seconds
    return Service(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        generation=metadata["generation"],
        deleting="deletionTimestamp" in metadata,
        replicas=obj["spec"].get("replicas", 1),
        spec=spec,
        pod_requests=requests,
        idle_seconds=idle_seconds,
        engine=scaling.get("engine"),
        cannot_sleep="cannotSleep" in scaling,
        is_complete=_is_ready(status, metadata["generation"]),
        told=status.get("autoscaler"),
    )


def _read_spec(obj: Mapping[str, Any], autoscaling: Autoscaling, told: Mapping[str, str]) -> AutoscalerSpec:
    """Read the spec; the operator has `told` what pods request, which a ModelRuntime may say too."""
    resources = parse_part(obj, "resources", Resources) or Resources()
    # A limit without a request is a request too.
    requests = {**resources.limits, **resources.requests, **told}
    amounts = {name: float(parse_quantity(requests[name])) for name in ("cpu", "memory") if name in requests}
    return build_spec(
        autoscaling,
        cpu_request_cores=amounts.get("cpu"),
        memory_request_bytes=amounts.get("memory"),
    )


def _is_ready(status: Mapping[str, Any], generation: int) -> bool:
    """Whether Ready is True and speaks of this generation."""
    return status.get("observedGeneration") == generation and any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and condition.get("observedGeneration", generation) == generation
        for condition in status.get("conditions") or ()
    )


def _is_older(metadata: Mapping[str, Any], known: Service) -> bool:
    return metadata["uid"] == known.uid and int(metadata["resourceVersion"]) < int(known.version)
