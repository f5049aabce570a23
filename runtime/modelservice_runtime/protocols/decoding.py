"""Requests that take long to decode: a thread does it, while the event loop goes on with others.

Every protocol's front end comes here between a request's arrival and its model's lane.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.offload import offload
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.inference import count_failures, record_cancelled, record_failure

Decoded = TypeVar("Decoded")
# Runs work on a thread, then tells the event loop; see `offload`.
Offload: TypeAlias = Callable[[Callable[[], Decoded], Callable[["asyncio.Future[Decoded]"], None]], None]


def decode_and_run(
    handle: ModelHandle,
    received_ns: int,
    decode: Callable[[], Decoded],
    run: Callable[[Decoded], Callable[[], None] | None],
    fail: Callable[[ServingError], None],
    *,
    takes_long: bool,
) -> Callable[[], None] | None:
    """Decode a request to `handle`, on a thread where that takes long, and `run` it; returns what cancels it.

    What either raises here is counted, and raised as a ServingError; see `decode_on_a_thread`.
    """
    if takes_long:
        return decode_on_a_thread(handle, received_ns, decode, run, fail)
    return count_failures(handle, received_ns, lambda: run(decode()))


def decode_on_a_thread(
    handle: ModelHandle,
    received_ns: int,
    decode: Callable[[], Decoded],
    run: Callable[[Decoded], Callable[[], None] | None],
    fail: Callable[[ServingError], None],
    on_thread: Offload[Decoded] = offload,
) -> Callable[[], None]:
    """Decode a request to `handle` on a thread, then `run` it on the event loop; returns what cancels it.

    `on_thread` chooses the thread, and may raise a ServingError.
    `run` answers, now or later, and returns what cancels the rest, if anything. What either raises is
    counted, and told to `fail`. Nothing is called any more once the request was cancelled.
    """
    cancel_run: Callable[[], None] | None = None
    cancelled = False

    def cancel() -> None:
        nonlocal cancelled
        cancelled = True
        if cancel_run is not None:
            cancel_run()

    def go_on(decoded: asyncio.Future[Decoded]) -> None:
        nonlocal cancel_run
        handle.statistics.close(received_ns)  # `run` opens it again where it takes longer
        if cancelled:
            decoded.exception()  # seen: nobody waits for it
            record_cancelled(handle, received_ns)
            return
        try:
            cancel_run = run(decoded.result())
        except Exception as error:  # noqa: BLE001 - counted, logged where it is ours, and told
            fail(record_failure(handle, received_ns, error))
        finally:
            del decoded  # an error leads to this frame, which must not lead back to it: it holds the body

    on_thread(decode, go_on)
    handle.statistics.open(received_ns)
    return cancel
