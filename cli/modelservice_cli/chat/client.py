"""Speaks OpenAI's API: which models there are, and an answer as it comes."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLError
from typing import Any
from urllib.parse import urlsplit

from modelservice_cli.errors import CommandError
from modelservice_pipeline.predict.connections import make_context
from modelservice_pipeline.predict.tls_files import TlsFiles

# The first word of an answer may wait for those of others; clients of OpenAI wait as long.
_TIMEOUT_SECONDS = 600
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_MAX_LINE_BYTES = 1024 * 1024


class ChatClient:
    """One server. `url` may end with `/v1`, or not; `headers` are made for each request.

    Raises CommandError, PipelineError for files of TLS that cannot be used.
    """

    def __init__(self, url: str, headers: Callable[[], Mapping[str, str]], tls: TlsFiles) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise CommandError(f"{url} is no URL ({error})") from error
        if parts.scheme not in ("http", "https") or not host:
            raise CommandError(
                f"{url} is no URL of a server, expected http://HOST:PORT or https://HOST, or the name of a "
                "ModelService"
            )
        self._context = make_context(tls) if parts.scheme == "https" else None
        self._place, self._host, self._port = parts.netloc.rpartition("@")[2], host, port
        self._base = parts.path.rstrip("/").removesuffix("/v1") + "/v1"
        self._headers = headers

    def models(self) -> dict[str, bool]:
        """The models that generate text, and whether each is an adapter of another. Raises CommandError."""
        with closing(self._connect()) as connection:
            response = self._ask(connection, "GET", "/models", None)
            with self._reading():
                answer = _parsed(response.read(_MAX_ANSWER_BYTES))
        models = filter(_may_generate, _objects(answer.get("data")))
        return {str(model["id"]): bool(model.get("parent")) for model in models if "id" in model}

    def answer(self, body: dict[str, Any]) -> Iterator[str]:
        """The pieces of the next message; whoever stops reading ends it. Raises CommandError."""
        with closing(self._connect()) as connection:
            response = self._ask(connection, "POST", "/chat/completions", _written({**body, "stream": True}))
            with self._reading():
                yield from _pieces(response)

    def _connect(self) -> HTTPConnection:
        if self._context is None:
            return HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        return HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._context)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (HTTPException, OSError) as error:
            raise CommandError(f"{self._place}: the answer broke off: {_cause(error)}") from error

    def _ask(self, connection: HTTPConnection, method: str, path: str, body: bytes | None) -> HTTPResponse:
        try:
            headers = {"Content-Type": "application/json", **self._headers()}
            connection.request(method, self._base + path, body, headers)
            response = connection.getresponse()
            if response.status == 200:
                return response
            answer = _parsed(response.read(_MAX_ANSWER_BYTES))
            refusal = answer.get("error") or answer.get("message")  # the latter of an API server
        except (HTTPException, OSError) as error:
            raise CommandError(f"cannot ask {self._place}: {_cause(error)}") from error
        sentence, hint = refusal, ""
        if isinstance(refusal, dict):  # of the models' server
            sentence = refusal.get("message")
            hint = " (--api-key-file FILE or --api-key-env NAME)" if response.status == 401 else ""
        raise CommandError(f"{self._place} answers {response.status}: {sentence or response.reason}{hint}")


def _written(body: Mapping[str, Any]) -> bytes:
    """The body as JSON. What was typed or told and is no character (a lone surrogate) has its place taken."""
    text = json.dumps(body, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _may_generate(model: Mapping[str, Any]) -> bool:
    """Of our own servers a context tells which models do; others' lists say of none what it is for."""
    return model.get("owned_by") != "modelservice" or "max_model_len" in model


def _cause(error: HTTPException | OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "no server listens there (yet)"
    if isinstance(error, SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS: take http://"
    # What a connection without an answer ends with is a ConnectionError, too, and says so.
    if isinstance(error, BadStatusLine) and not isinstance(error, ConnectionError):
        return "it does not answer in HTTP/1.1: take the server's HTTP port"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _pieces(response: HTTPResponse) -> Iterator[str]:
    """The text within server-sent events."""
    while line := response.readline(_MAX_LINE_BYTES):
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        if not line.startswith(b"data:"):
            continue
        event = _parsed(data)
        if error := event.get("error"):
            raise CommandError(
                f"the answer ends: {error.get('message') if isinstance(error, dict) else error}"
            )
        for choice in _objects(event.get("choices")):
            for delta in _objects([choice.get("delta")]):
                yield str(delta.get("content") or "")
    raise CommandError("the answer broke off; the server has gone")


def _objects(value: object) -> list[dict[str, Any]]:
    """Those of a list; another server may send anything."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
