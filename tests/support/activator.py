"""The activator's inner rooms in a test's own event loop, in front of pods that the test chooses.

The API server is played by two methods and what the test says; everything else is real: sockets, HTTP, pods.
`tests/integration/activator` has the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.ports import free_port

from modelservice_activator.channels.departures import Departures
from modelservice_activator.holding.holder import Holder
from modelservice_activator.listening.clients import Clients
from modelservice_activator.listening.doors import Doors
from modelservice_activator.relaying.visit import Means
from modelservice_activator.settings import ConnectionLimits, HoldLimits
from modelservice_activator.waking.waker import Waker
from modelservice_activator.watching.listeners import SliceListener, WishListener
from modelservice_activator.watching.services import Services
from modelservice_operator.facts.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

KEY = ("mail", "spam")


@dataclass
class PlayedApi:
    """A ModelService in an API server that keeps to preconditions; `on_wake`: what the cluster does then."""

    listener: WishListener
    replicas: int = 0
    min_replicas: int = 0
    version: int = 10
    writes: list[dict[str, Any]] = field(default_factory=list)
    conflicts: int = 0
    deleting: bool = False
    on_wake: Callable[[], object] | None = None

    def tell(self, event: str | None = "MODIFIED") -> None:
        """A watch brings the ModelService as it is now."""
        self.listener.on_object(event, self._object())

    def scale(self, replicas: int) -> None:
        """Somebody else writes replicas."""
        self.replicas = replicas
        self.version += 1
        self.tell()

    async def get(self, _resource: object, _namespace: str, _name: str) -> dict[str, Any]:
        """The ModelService as it is now."""
        return self._object()

    async def patch_subresource(
        self, _resource: object, _namespace: str, _name: str, subresource: str, patch: dict[str, Any]
    ) -> dict[str, Any]:
        """Write replicas, under the precondition."""
        await asyncio.sleep(0.01)
        assert subresource == "scale"
        if patch["metadata"]["resourceVersion"] != str(self.version):
            self.conflicts += 1
            raise ConflictError("the object has been modified", status=409)
        self.writes.append(patch)
        self.replicas = patch["spec"]["replicas"]
        self.version += 1
        asyncio.get_running_loop().call_later(0.02, self._woken)
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": {"replicas": self.replicas}}

    def _woken(self) -> None:
        self.tell()
        if self.on_wake is not None:
            self.on_wake()

    def _object(self) -> dict[str, Any]:
        spec = {
            "replicas": self.replicas,
            "autoscaling": {"minReplicas": self.min_replicas, "maxReplicas": 4},
        }
        metadata = {"namespace": KEY[0], "name": KEY[1], "resourceVersion": str(self.version)}
        deletion = {"deletionTimestamp": "2026-01-02T03:04:05Z"} if self.deleting else {}
        return {"metadata": {**metadata, **deletion}, "spec": spec}


class Rig:
    """One service, its two ports, and the activator in front of it."""

    def __init__(self, hold: HoldLimits, connections: ConnectionLimits, host: str) -> None:
        self.services = Services()
        self.slices = SliceListener(self.services)
        self.api = PlayedApi(WishListener(self.services))
        self.waker = Waker(self.api, self.services)  # type: ignore[arg-type]
        self.holder = Holder(self.services, self.waker, hold)
        self.departures = Departures()
        self.means = Means(
            holder=self.holder, departures=self.departures, limits=connections, connect_seconds=1.0
        )
        self.clients = Clients(self.services, self.means)
        self.doors = Doors(self.services, self.clients, host, connections.stall_seconds)
        self.ports = {"http": free_port(), "grpc": free_port()}
        self._version = 100

    @property
    def http(self) -> str:
        """Address for clients of HTTP."""
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def grpc(self) -> str:
        """Address for clients of gRPC."""
        return f"127.0.0.1:{self.ports['grpc']}"

    def lead_here(self, ready: bool = True) -> None:
        """The operator leads clients here, or to pods."""
        ends = [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}]
        self._slice("spam-activator", "activator.modelservice.dev", ends, self.ports)

    def give_pods(self, pods: Sequence[str], **ports: int) -> None:
        """Kubernetes says that pods at these addresses are ready."""
        ends = [{"addresses": [pod], "conditions": {"ready": True}} for pod in pods]
        self._slice("spam-x7k2p", "endpointslice-controller.k8s.io", ends, ports)

    def _slice(self, name: str, owner: str, ends: list[dict[str, Any]], ports: dict[str, int]) -> None:
        self._version += 1
        labels = {
            "kubernetes.io/service-name": KEY[1],
            "endpointslice.kubernetes.io/managed-by": owner,
            "modelservice.dev/name": KEY[1],
            "app.kubernetes.io/managed-by": "modelservice-operator",
        }
        metadata = {
            "namespace": KEY[0], "name": name, "labels": labels, "resourceVersion": str(self._version)
        }  # fmt: skip
        numbers = [{"name": port, "port": number} for port, number in ports.items()]
        self.slices.on_object("MODIFIED", {"metadata": metadata, "endpoints": ends, "ports": numbers})


@contextlib.asynccontextmanager
async def running_rig(
    hold: HoldLimits | None = None, connections: ConnectionLimits | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Rig]:
    """A service that sleeps, and clients are led here; nothing is left over at the end."""
    rig = Rig(hold or HoldLimits(), connections or ConnectionLimits(), host)
    rig.api.tell("ADDED")
    rig.lead_here()
    sweep = asyncio.create_task(rig.clients.sweep())
    while isinstance(rig.doors.ports_of(KEY), str):  # noqa: ASYNC110  polled, as the operator does
        await asyncio.sleep(0.01)
    try:
        yield rig
    finally:
        rig.doors.close()
        await rig.clients.cut()
        await rig.waker.close()
        sweep.cancel()
        rig.departures.close()
        assert rig.holder.room.requests == 0
        assert rig.holder.room.total_bytes == 0
        # A pod that could not be reached is remembered for a moment.
        await eventually(lambda: not rig.holder._lines, "nothing is remembered of what was passed on")


@dataclass
class Pod:
    """A pod whose server is what the test says; it remembers how often it was connected to, and what came."""

    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    port: int = 0
    connections: int = 0
    open_connections: int = 0
    received: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open_connections += 1
        try:
            await self.answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()


@contextlib.asynccontextmanager
async def running_pod(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Pod]:
    """A pod that listens."""
    pod = Pod(answer)
    server = await asyncio.start_server(pod.serve, "127.0.0.1", 0)
    pod.port = server.sockets[0].getsockname()[1]
    try:
        yield pod
    finally:
        server.close()


async def head_and_body(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one request with Content-Length, or without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    return head, await reader.readexactly(size)


async def eventually(condition: Callable[[], object], what: str, timeout_seconds: float = 120.0) -> None:
    """Wait until `condition` is true; AssertionError saying `what` after the timeout."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {timeout_seconds:.0f} s: {what}"
        await asyncio.sleep(0.005)
