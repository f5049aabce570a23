"""One RPC as the services see it; with `status` and `open_streams`, all that transport and services share.

A service is a function from a call to its handler, registered by the full path of its method. Everything runs
on the event loop's thread; no function here may block.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.status import GrpcStatus


class GrpcCall(Protocol):
    """One RPC in progress.

    `send` and `finish` may be called now or later, and do nothing once the call has ended in any way.
    `on_writable` is called, if set, when `writable` becomes true again.
    """

    on_writable: Callable[[], None] | None

    @property
    def path(self) -> str:
        """`/package.Service/Method`."""

    @property
    def caller(self) -> object:
        """Whom admission let in, in its own words; None where there is no admission."""

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """Request headers without the pseudo headers; lower-case names, repeated ones joined by a comma."""

    @property
    def received_ns(self) -> int:
        """When the last complete message, or else the head, arrived; `time.perf_counter_ns`."""

    @property
    def timeout_seconds(self) -> float | None:
        """The client's `grpc-timeout`, counted from the head; None without one."""

    @property
    def writable(self) -> bool:
        """False while the client reads more slowly than answers are sent; sending still works."""

    def send(self, message: Buffer | Sequence[Buffer]) -> None:
        """Send one response message: a serialized protobuf, whole or as buffers that follow each other.

        The buffers must not change afterwards: large ones are sent as they are, without a copy.
        """

    def finish(self, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None:
        """End the call behind the messages sent so far."""


class CallHandler(Protocol):
    """What a service does with the events of one call."""

    def on_message(self, message: bytes) -> None:
        """Take a complete request message, decompressed."""

    def on_end(self) -> None:
        """Learn that the client sends no more messages; a unary call answers at the latest here."""

    def on_cancel(self) -> None:
        """Stop: the client reset the call or left, or its deadline passed; nothing is sent any more."""


Service: TypeAlias = Callable[[GrpcCall], CallHandler]


class Admission(Protocol):
    """Decides who may call."""

    def __call__(self, path: str, metadata: Mapping[bytes, bytes], client: Client) -> object:
        """Return who calls, or raise GrpcError to turn the call away."""
