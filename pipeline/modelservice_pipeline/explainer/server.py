"""The HTTP server of the explainer: reads a request, asks the model as whoever asks it, writes the answer."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.explain import Method
from modelservice_pipeline.explain.inputs import find_text_input, read_rows
from modelservice_pipeline.explain.request import explain_given
from modelservice_pipeline.explainer.protocol import Asked, parse_asked
from modelservice_pipeline.explainer.tls import Files
from modelservice_pipeline.predict.endpoint import EndpointPredictor
from modelservice_pipeline.predict.errors import ModelAwayError, RefusedByModelError
from modelservice_pipeline.predict.server import Access
from modelservice_pipeline.predict.tls_files import TlsFiles

_PASSED_ON = ("Authorization", "X-Api-Key", "X-Request-Id")
"""Headers of whoever asks, with which the model is asked: the explainer has no rights of its own."""
_TOLD_ON = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)
"""The model's statuses that are an answer to whoever asks; others are failures behind it."""
_MAX_BODY_BYTES = 8 * 2**20
_CONCURRENCY = 2
"""Explanations at the same time; each sends several requests at once, and further ones are told to wait."""
_MODEL_SECONDS = 30.0


@dataclass(frozen=True)
class Settings:
    """What it is told at its start: the model's URL, and the method where a request names none.

    `tls` has the files by which it and the model are known; None where neither speaks TLS.
    """

    url: str
    method: Method
    tls: Files | None = None

    @property
    def model(self) -> str:
        """The model's name: the last word of its URL."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])


class Explainer:
    """The handlers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running = 0
        self.is_leaving = False

    def make_application(self) -> web.Application:
        """Return the application with its routes."""
        application = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_as_json])
        application.router.add_get("/v2/health/live", self._live)
        application.router.add_get("/v2/health/ready", self._ready)
        application.router.add_post(r"/v1/models/{model:[^/]+}:explain", self._explain)
        return application

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.json_response({"ready": not self.is_leaving}, status=503 if self.is_leaving else 200)

    async def _explain(self, request: web.Request) -> web.Response:
        if request.match_info["model"] != self._settings.model:
            raise web.HTTPNotFound(text=f"the model here is {self._settings.model!r}")
        if self._running >= _CONCURRENCY:
            raise web.HTTPTooManyRequests(
                text=f"{_CONCURRENCY} explanations are being made: ask again later",
                headers={"Retry-After": "1"},
            )
        self._running += 1
        try:
            asked = parse_asked(_parse_json(await request.read()), self._settings.method)
            headers = _read_headers(request.headers)
            explanations = await asyncio.to_thread(self._explain_all, asked, headers)
        finally:
            self._running -= 1
        return web.json_response({"explanations": explanations})

    def _explain_all(self, asked: Asked, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        tls = self._settings.tls.to_ask_with() if self._settings.tls else TlsFiles()
        access = Access(headers=lambda: headers, tls=tls, seconds=_MODEL_SECONDS)
        predictor = EndpointPredictor(self._settings.url, access)
        try:
            is_text = find_text_input(predictor.inputs) is not None
            rows = (
                None if is_text or asked.background is None else read_rows(asked.background, predictor.inputs)
            )
            return [
                explain_given(predictor, instance, rows, asked.question).to_document()
                for instance in asked.instances
            ]
        finally:
            predictor.close()


@web.middleware
async def _as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer errors as the model's server does: `{"error": "..."}`."""
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        headers = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
        return _error(error.status, error.text or error.reason, headers)
    except RefusedByModelError as error:
        told = error.status in _TOLD_ON
        return _error(error.status if told else HTTPStatus.BAD_GATEWAY, str(error))
    except ModelAwayError as error:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"})
    except PipelineError as error:
        return _error(HTTPStatus.BAD_REQUEST, str(error))
    return response


def _error(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": sentence}, status=status, headers=headers)


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise PipelineError("the body is no JSON") from None


def _read_headers(headers: Mapping[str, str]) -> dict[str, str]:
    found = {name: headers[name] for name in _PASSED_ON if name in headers}
    for name, value in found.items():
        if not (value.isascii() and value.isprintable()):
            raise PipelineError(f"the header {name} is not of printable ASCII characters")
    return found
