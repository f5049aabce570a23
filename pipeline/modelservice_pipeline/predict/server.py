"""One server of the Open Inference Protocol: asked with its keys, again where it is busy; no rows here."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.connections import Answer, Connections, NoAnswerError
from modelservice_pipeline.predict.errors import ModelAwayError
from modelservice_pipeline.predict.patience import (
    TRY_AGAIN,
    Clock,
    Pause,
    read_retry_after,
    seconds_to_wait,
    utc_now,
)
from modelservice_pipeline.predict.tls_files import TlsFiles
from modelservice_pipeline.predict.wire import Message

_SHOWN_CHARACTERS = 300


def _no_headers() -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Access:
    """How a server is asked.

    Attributes:
        headers: Makes the headers of each request, such as keys; may read a file that changes.
        tls: The files of TLS.
        seconds: How long a request may take, all its tries together.
        concurrency: How many requests wait for answers at the same moment.
        rows_at_once: How many rows a request has at most; None: it is found out.
        clock: What is waited by.
    """

    headers: Callable[[], Mapping[str, str]] = _no_headers
    tls: TlsFiles = field(default_factory=TlsFiles)
    seconds: float = 60.0
    concurrency: int = 4
    rows_at_once: int | None = None
    clock: Clock = field(default_factory=Clock)


class RefusedError(Exception):
    """The server answered with an error that no further try mends."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Server:
    """A server at a URL with nothing behind its host, or a prefix that leads to it."""

    def __init__(self, url: str, access: Access) -> None:
        parts = urlsplit(url)
        self.url = url
        self._prefix, self._access = parts.path.rstrip("/"), access
        self._connections = Connections(parts, access.tls)
        self._pause, self._has_answered = Pause(access.clock), threading.Event()

    def get(self, path: str) -> Any:
        """Return the JSON of a GET. Raises RefusedError, PipelineError."""
        return self._read_json(self.ask("GET", path, None))

    def post(self, path: str, document: Any) -> Any:
        """Return the JSON of a POST. Raises RefusedError, PipelineError."""
        message = Message(json.dumps(document).encode(), {"Content-Type": "application/json"})
        return self._read_json(self.ask("POST", path, message))

    def ask(self, method: str, path: str, message: Message | None) -> Answer:
        """Ask until there is an answer that counts.

        RefusedError: a status that no further try mends, or 504. TooSlowError: no answer in time.
        ModelAwayError: the server was busy or away until the time was over.
        """
        clock = self._access.clock
        deadline, attempt = clock.now() + self._access.seconds, 0
        last = "it is busy"
        while self._pause.wait(deadline) and (left := deadline - clock.now()) > 0:
            try:
                answer = self._try(method, path, message, left)
            except NoAnswerError as error:
                last = self._say_no_answer(error)
                self._pause.lengthen(seconds_to_wait(attempt, None))
            else:
                if answer.status not in TRY_AGAIN:
                    return self._accept(answer)
                last = f"it answered {answer.status}: {_said(answer)}"
                wait = read_retry_after(answer.headers.get("Retry-After"), utc_now())
                self._pause.lengthen(seconds_to_wait(attempt, wait))
            attempt += 1
        raise ModelAwayError(
            f"gave up on {self.url} after {attempt} tries within {self._access.seconds:g} s, {last}; "
            "ask again later, fewer at the same time (--concurrency), or longer (--timeout)"
        )

    def close(self) -> None:
        """Close its connections."""
        self._connections.close()

    def _try(self, method: str, path: str, message: Message | None, seconds: float) -> Answer:
        headers = {"Accept": "*/*", **(message.headers if message else {}), **self._access.headers()}
        body = message.body if message else None
        answer = self._connections.ask(method, self._prefix + path, headers, body, seconds)
        self._has_answered.set()
        return answer

    def _say_no_answer(self, error: NoAnswerError) -> str:
        # A server that has never answered is a wrong address more often than one that restarts.
        if not self._has_answered.is_set():
            raise ModelAwayError(
                f"no answer from {self.url} ({error}): check the address, and that the server runs"
            ) from None
        return f"the connection failed ({error})"

    def _accept(self, answer: Answer) -> Answer:
        if answer.status == HTTPStatus.OK:
            return answer
        raise RefusedError(answer.status, f"{self.url} answered {answer.status}: {_said(answer)}")

    def _read_json(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.body)
        except ValueError:
            raise PipelineError(
                f"{self.url} does not speak the Open Inference Protocol: it answers no JSON"
            ) from None


def _said(answer: Answer) -> str:
    """Return the sentence of an answer: `error`, `detail` or `message` (of an API server), else its text."""
    text = answer.body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except ValueError:
        document = text
    if isinstance(document, dict):
        document = document.get("error") or document.get("detail") or document.get("message") or document
    said = " ".join(str(document).split())[:_SHOWN_CHARACTERS]
    return said or _phrase(answer.status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no sentence"
