"""Clients that ask a served model without a pause, and count what they are told.

For tests and examples that change what runs while it is asked. Nobody ever tries again: a failure is one.
"""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

Ask: TypeAlias = Callable[[], Hashable]
"""Sends one request; returns what is counted of the answer, raises one of FAILURES."""
Connect: TypeAlias = Callable[[], contextlib.AbstractContextManager[Ask]]
"""Opens a connection, and closes it in the end."""

CALL_SECONDS = 120
"""A request may wait for a pod to start on a busy machine, and for another operator to lead before that."""
FAILURES = (OSError, http.client.HTTPException, AssertionError, grpc.RpcError)


class Load:
    """Clients in threads: `keeping` ones keep a connection, `reconnecting` ones open one for each request."""

    def __init__(
        self, keeping: Sequence[Connect], reconnecting: Sequence[Connect], pause_seconds: float = 0.01
    ) -> None:
        """`pause_seconds` leaves the cores to the pods that shall start."""
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._lock = threading.Lock()
        clients = [*((self._keep, one) for one in keeping), *((self._reconnect, one) for one in reconnecting)]
        self._threads = [threading.Thread(target=run, args=(connect,)) for run, connect in clients]
        self.answers: Counter[Any] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | TracebackType | BaseException | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def count(self, *answers: Hashable) -> int:
        """Requests answered so far; where some are given, with one of these `answers`."""
        with self._lock:
            return sum(self.answers[one] for one in answers) if answers else self.answers.total()

    def _keep(self, connect: Connect) -> None:
        with connect() as ask:
            while not self._stop.is_set():
                self._ask(ask)

    def _reconnect(self, connect: Connect) -> None:
        while not self._stop.is_set():
            with connect() as ask:
                self._ask(ask)

    def _ask(self, ask: Ask) -> None:
        try:
            answer = ask()
        except FAILURES as error:
            with self._lock:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {_describe(error)}")
        else:
            with self._lock:
                self.answers[answer] += 1
        self._stop.wait(self._pause_seconds)


@contextlib.contextmanager
def rest_client(
    address: tuple[str, int], path: str, body: object, read: Callable[[Any], Hashable]
) -> Iterator[Ask]:
    """Ask by POST; `read` makes of an answer's JSON what is counted."""
    connection = http.client.HTTPConnection(*address, timeout=CALL_SECONDS)
    text = json.dumps(body)

    def ask() -> Hashable:
        try:
            connection.request("POST", path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        assert response.status == http.client.OK, f"{response.status}: {content.decode()}"
        return read(json.loads(content))

    yield ask
    connection.close()


@contextlib.contextmanager
def grpc_client(
    address: tuple[str, int],
    request: service_pb2.ModelInferRequest,
    read: Callable[[service_pb2.ModelInferResponse], Hashable],
    authority: str = "",
) -> Iterator[Ask]:
    """Ask by ModelInfer; `read` makes of an answer what is counted. `authority` is the host that is named."""
    # Of its own: channels to the same address share a connection otherwise.
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    if authority:
        options.append(("grpc.default_authority", authority))
    with grpc.insecure_channel("{}:{}".format(*address), options) as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        yield lambda: read(infer(request, timeout=CALL_SECONDS))


def _describe(error: Exception) -> str:
    return f"{error.code()}: {error.details()}" if isinstance(error, grpc.RpcError) else repr(error)
