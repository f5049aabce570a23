"""The API client: paging, watching, errors, tokens, and what each call sends."""

import asyncio
import json

import pytest
from aiohttp import web

from modelservice_operator.client import kubeapi
from modelservice_operator.facts.errors import (
    ApiError,
    ConflictError,
    GoneError,
    LeadershipLostError,
    NotFoundError,
    TransportError,
)
from modelservice_operator.facts.kinds import DEPLOYMENTS, MODEL_SERVICES

BODY = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"namespace": "mail", "name": "spam"},
    "spec": {"replicas": 1},
}


def page(*names: str, token: str = "") -> web.Response:
    items = [{"metadata": {"name": name}} for name in names]
    return web.json_response({"metadata": {"resourceVersion": "7", "continue": token}, "items": items})


def status(code: int, **fields: object) -> web.Response:
    return web.json_response(
        {"kind": "Status", "code": code, "message": f"code {code}", **fields}, status=code
    )


def stream(*chunks: bytes, cut: bool = False):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if cut:
            request.transport.abort()
        return response

    return handler


def line(kind: str, **obj: object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


async def collect(api, version="1"):
    return [event async for event in api.watch(DEPLOYMENTS, "mail", version)]


async def test_list_pages_follows_the_continue_token(api, server):
    server.answer(page("a", "b", token="more"), page("c"))
    names = [
        i["metadata"]["name"]
        async for p in api.list_pages(DEPLOYMENTS, None, selector="x=y")
        for i in p.items
    ]
    assert names == ["a", "b", "c"]
    assert server.requests[0].path == "/apis/apps/v1/deployments"
    assert server.requests[1].query["continue"] == "more"
    assert server.requests[1].query["labelSelector"] == "x=y"


async def test_list_pages_takes_null_items_as_empty(api, server):
    server.answer(web.json_response({"metadata": {"resourceVersion": "7"}, "items": None}))
    pages = [p async for p in api.list_pages(DEPLOYMENTS, "mail", metadata_only=True)]
    assert pages[0].items is None
    assert "PartialObjectMetadataList" in server.requests[0].headers["Accept"]


async def test_list_pages_with_expired_token_raises_gone(api, server):
    server.answer(page("a", token="more"), status(410, reason="Expired"))
    with pytest.raises(GoneError):
        [p async for p in api.list_pages(DEPLOYMENTS, None)]


async def test_watch_gives_events_however_they_are_cut_into_chunks(api, server):
    text = line("ADDED", metadata={"name": "ä" * 100_000}) + line(
        "BOOKMARK", metadata={"resourceVersion": "9"}
    )
    server.answer(stream(text[:7], text[7:50], text[50:]))
    events = await collect(api)
    assert [event.type for event in events] == ["ADDED", "BOOKMARK"]
    assert server.requests[0].query["allowWatchBookmarks"] == "true"
    assert server.requests[0].query["resourceVersion"] == "1"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(410), GoneError),
        (status(500), ApiError),
        (stream(line("ERROR", code=410, message="too old")), GoneError),
        (stream(line("ERROR", code=500, message="etcd")), ApiError),
        (stream(line("ADDED", metadata={}), cut=True), TransportError),
        (stream(b'{"type": "ADDED", "object": {]}\n'), TransportError),
        (stream(b'{"type": "ADDED", "object": \xff}\n'), TransportError),
    ],
)
async def test_watch_raises_what_went_wrong(api, server, answer, error):
    server.answer(answer)
    with pytest.raises(error):
        await collect(api)


async def test_watch_drops_a_line_that_was_cut_at_the_end(api, server):
    server.answer(stream(line("ADDED", metadata={}), b'{"type": "MODI'))
    assert [event.type for event in await collect(api)] == ["ADDED"]


async def test_watch_that_stays_silent_raises(api, server, monkeypatch):
    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(5)
        return response

    monkeypatch.setattr(kubeapi, "INACTIVITY_LIMIT_SECONDS", 0.05)
    server.answer(silent)
    with pytest.raises(TransportError):
        await collect(api)


@pytest.mark.parametrize(("code", "error"), [(404, NotFoundError), (409, ConflictError), (422, ApiError)])
async def test_get_refused_raises_the_typed_error(api, server, code, error):
    server.answer(status(code, reason="R", details={"kind": "deployments"}))
    with pytest.raises(error) as caught:
        await api.get(DEPLOYMENTS, "mail", "spam")
    assert (caught.value.status, caught.value.reason) == (code, "R")
    assert caught.value.message == f"code {code}"


async def test_error_without_a_status_body_shows_the_text(api, server):
    server.answer(web.Response(status=502, text="<html>bad gateway</html>"))
    with pytest.raises(ApiError, match="bad gateway"):
        await api.get(DEPLOYMENTS, "mail", "spam")


async def test_connection_refused_raises_transport_error(api, server):
    server.answer(stream(b"", cut=True))
    with pytest.raises(TransportError):
        await api.get(DEPLOYMENTS, "mail", "spam")


async def test_call_that_takes_too_long_raises_transport_error(api, server):
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    server.answer(slow)
    with pytest.raises(TransportError):
        await api.get(DEPLOYMENTS, "mail", "spam", timeout_seconds=0.05)


async def test_apply_sends_a_forced_apply_patch_with_our_manager(api, server):
    server.answer(web.json_response(BODY))
    await api.apply(BODY)
    request = server.requests[0]
    assert (request.method, request.path) == ("PATCH", "/apis/apps/v1/namespaces/mail/deployments/spam")
    assert dict(request.query) == {"fieldManager": "modelservice-operator", "force": "true"}
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"


async def test_delete_sends_the_uid_as_precondition(api, server):
    bodies = []

    async def remember(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response({})

    server.answer(remember)
    await api.delete(DEPLOYMENTS, "mail", "spam", "uid-1")
    await api.delete(DEPLOYMENTS, "mail", "spam", "uid-1", owned_first=True)
    assert [body["preconditions"] for body in bodies] == [{"uid": "uid-1"}] * 2
    assert [body["propagationPolicy"] for body in bodies] == ["Background", "Foreground"]


async def test_writes_are_refused_without_the_lease_and_reads_are_not(api, server):
    def lost() -> None:
        raise LeadershipLostError("lost")

    server.answer(web.json_response(BODY))
    api.may_write = lost
    with pytest.raises(LeadershipLostError):
        await api.apply(BODY)
    with pytest.raises(LeadershipLostError):
        await api.delete(DEPLOYMENTS, "mail", "spam", "uid")
    with pytest.raises(LeadershipLostError):
        await api.patch_status(MODEL_SERVICES, "mail", "spam", {})
    assert server.requests == []
    assert await api.get(DEPLOYMENTS, "mail", "spam") == BODY


async def test_unauthorized_is_tried_once_more_with_a_new_token(api, server):
    server.answer(status(401), web.json_response(BODY))
    assert await api.get(DEPLOYMENTS, "mail", "spam") == BODY
    tokens = [request.headers["Authorization"] for request in server.requests]
    assert tokens == ["Bearer token-1", "Bearer token-2"]


async def test_unauthorized_twice_raises(api, server):
    server.answer(status(401))
    with pytest.raises(ApiError) as caught:
        await api.get(DEPLOYMENTS, "mail", "spam")
    assert caught.value.status == 401
    assert len(server.requests) == 2


async def test_paths_quote_what_a_name_may_smuggle_in():
    assert DEPLOYMENTS.path("mail", "../x") == "/apis/apps/v1/namespaces/mail/deployments/..%2Fx"
