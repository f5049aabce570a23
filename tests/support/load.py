"""Clients that ask an adder without a pause, and count what they are told."""

import http.client
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from tests.support.serving import User, ask_adder


class Load:
    """Some clients keep their connections, others open one for each request. Nobody ever tries again."""

    def __init__(self, user: User, name: str, *, keeping: int = 3, reconnecting: int = 1) -> None:
        self._user = user
        self._name = name
        self._address = user.address(name)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._keep) for _ in range(keeping)]
        self._threads += [threading.Thread(target=self._reconnect) for _ in range(reconnecting)]
        self.answers: Counter[float] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | TracebackType | BaseException | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def count(self) -> int:
        """Requests answered so far."""
        with self._lock:
            return self.answers.total()

    def _keep(self) -> None:
        """One connection until the server says that it closes it, as http.client sees to."""
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        while not self._stop.is_set():
            self._ask(connection)
        connection.close()

    def _reconnect(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(*self._address, timeout=30)
            self._ask(connection)
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        try:
            answer = ask_adder(connection, self._name, 0)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            connection.close()
            with self._lock:
                self.failures.append(repr(error))
        else:
            with self._lock:
                self.answers[answer] += 1
        # A pause, so that clients leave the two cores to the pods that shall start.
        self._stop.wait(0.01)
