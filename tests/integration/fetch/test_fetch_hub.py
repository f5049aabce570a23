"""Models from a repository of the Hub, at one commit, and what the Hub refuses."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from aiohttp import web
from tests.integration.fetch.fetch_hubs import Hub, HubRepository
from tests.integration.fetch.fetch_models import WEIGHTS, make_model
from tests.integration.fetch.fetch_proxies import Proxy
from tests.integration.fetch.fetch_servers import WebServer, run_web_server

from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.files.cache import ModelCache
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.hub.repository import parse_reset_seconds

MODEL = make_model()
NAMED = make_model("model.onnx_data")
FILES = {
    "README.md": b"read me",
    "onnx/model.onnx": NAMED,
    "onnx/model.onnx_data": WEIGHTS,
    "onnx/model_quantized.onnx": MODEL,
    "my models/ü.onnx": MODEL,
}


@pytest.fixture
def hub(https: Any, other_https: Any) -> Hub:
    hub = Hub(https, other_https)
    hub.repositories["org/spam"] = HubRepository()
    hub.repositories["org/spam"].commit(FILES)
    return hub


@pytest.fixture
async def other_http() -> AsyncIterator[WebServer]:
    async for server in run_web_server(WebServer("http"), None):
        yield server


@pytest.fixture
def fetch(fetcher: Any, hub: Hub) -> Any:
    async def run(uri: str, token: str | None = None, fail: bool = False, **changes: Any) -> Any:
        keys = {"HF_TOKEN": token} if token else {}
        changes = {"environment": {"HF_ENDPOINT": hub.endpoint}, **changes}
        changes.setdefault("credentials_directory", fetcher.credentials(**keys))
        return await (fetcher.fail if fail else fetcher.fetch)(uri, **changes)

    return run


async def test_hub_of_the_tests_is_one_for_the_real_client(
    http: Any, other_http: Any, tmp_path: Path
) -> None:
    hub = Hub(http, other_http)
    hub.repositories["org/spam"] = HubRepository(readers=frozenset({"hf_reader"}), gated=True)
    commit = hub.repositories["org/spam"].commit({"README.md": b"read me", "onnx/model.onnx": MODEL})
    hub.renamed["old/spam"] = "org/spam"

    def look() -> None:
        api = huggingface_hub.HfApi(hub.endpoint, token="hf_reader")
        info = api.model_info("org/spam", files_metadata=True)
        assert info.sha == commit
        sizes = {one.rfilename: (one.size, one.lfs and one.lfs.sha256) for one in info.siblings or []}
        assert sizes["onnx/model.onnx"] == (len(MODEL), hashlib.sha256(MODEL).hexdigest())
        assert sizes["README.md"] == (7, None)
        for path, data in {"README.md": b"read me", "onnx/model.onnx": MODEL}.items():
            found = api.hf_hub_download("old/spam", path, cache_dir=tmp_path / "cache")
            assert Path(found).read_bytes() == data
            assert commit in found
        failures = {
            huggingface_hub.errors.GatedRepoError: ("org/spam", "README.md", "main", "hf_other"),
            huggingface_hub.errors.RepositoryNotFoundError: ("org/none", "README.md", "main", "hf_reader"),
            huggingface_hub.errors.RevisionNotFoundError: ("org/spam", "README.md", "v9", "hf_reader"),
            huggingface_hub.errors.EntryNotFoundError: ("org/spam", "none", "main", "hf_reader"),
        }
        for error, (repository, path, revision, token) in failures.items():
            with pytest.raises(error):
                api.hf_hub_download(
                    repository, path, revision=revision, token=token, cache_dir=tmp_path / "other"
                )

    await asyncio.to_thread(look)


@pytest.mark.parametrize(
    ("uri", "files"),
    [
        ("hf://org/spam", {"model.onnx": NAMED, "model.onnx_data": WEIGHTS}),
        ("hf://org/spam/onnx", {"model.onnx": NAMED, "model.onnx_data": WEIGHTS}),
        ("hf://org/spam@main/onnx/", {"model.onnx": NAMED, "model.onnx_data": WEIGHTS}),
        ("hf://org/spam/onnx/model_quantized.onnx", {"model.onnx": MODEL}),
        ("hf://org/spam/my%20models/%C3%BC.onnx", {"model.onnx": MODEL}),
    ],
)
async def test_fetch_hf_gives_the_model_and_what_it_names(fetch, fetcher, uri, files):
    assert (await fetch(uri)).model_path == fetcher.destination / "model.onnx"
    assert fetcher.files == files


async def test_fetch_hf_reads_every_file_at_the_commit_that_the_revision_stood_for(fetch, fetcher, hub):
    repository = hub.repositories["org/spam"]
    first = repository.commit({"m.onnx": NAMED, "model.onnx_data": WEIGHTS})
    answer = hub.server.fallback

    async def moved(request: web.Request) -> web.StreamResponse:
        found = await answer(request)
        if request.path.endswith("/revision/main"):
            repository.commit({"m.onnx": MODEL, "model.onnx_data": b"other" * 1000})
        return found

    hub.server.fallback = moved
    result = await fetch("hf://org/spam")

    assert result.commit == first
    assert fetcher.files == {"m.onnx": NAMED, "model.onnx_data": WEIGHTS}


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/7"])
async def test_fetch_hf_revision_is_a_branch_a_tag_a_commit_or_a_reference(fetch, fetcher, hub, revision):
    commit = hub.repositories["org/spam"].commit({"m.onnx": MODEL}, revision)
    assert (await fetch(f"hf://org/spam@{revision}/m.onnx")).commit == commit
    assert (await fetch(f"hf://org/spam@{commit}")).commit == commit


async def test_fetch_hf_token_goes_to_the_hub_alone(fetch, fetcher, hub):
    hub.repositories["org/spam"].readers = frozenset({"hf_reader"})
    hub.renamed["old/spam"] = "org/spam"
    await fetch("hf://old/spam", token="hf_reader")

    assert fetcher.files == {"model.onnx": NAMED, "model.onnx_data": WEIGHTS}
    assert all(one.headers["Authorization"] == "Bearer hf_reader" for one in hub.server.requests)
    assert hub.storage.requests
    assert not any("Authorization" in one.headers for one in hub.storage.requests)


async def test_fetch_hf_token_of_the_environment_is_taken_where_no_secret_has_one(fetch, fetcher, hub):
    hub.repositories["org/spam"].readers = frozenset({"hf_reader"})
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "hf_reader"}
    await fetch("hf://org/spam", environment=environment)
    assert set(fetcher.files) == {"model.onnx", "model.onnx_data"}


@pytest.mark.parametrize(
    ("uri", "token", "reason", "texts"),
    [
        ("hf://org/gated", None, FetchReason.CREDENTIALS_MISSING, ["gated", "accept", "HF_TOKEN"]),
        ("hf://org/gated", "hf_other", FetchReason.ACCESS_DENIED, ["gated", "account of the token"]),
        ("hf://org/spam", "hf_wrong", FetchReason.ACCESS_DENIED, ["does not accept the token", "HF_TOKEN"]),
        ("hf://org/none", None, FetchReason.CREDENTIALS_MISSING, ["org/none", "private", "HF_TOKEN"]),
        ("hf://org/none", "hf_other", FetchReason.MODEL_NOT_FOUND, ["org/none", "token may not read"]),
        ("hf://org/spam@v9", None, FetchReason.MODEL_NOT_FOUND, ["no revision v9"]),
        ("hf://org/spam/none.onnx", None, FetchReason.MODEL_NOT_FOUND, ["no none.onnx"]),
        ("hf://org/two", None, FetchReason.MODEL_NOT_FOUND, ["a.onnx, b.onnx", "hf://org/two@main/b.onnx"]),
        ("hf://org/lost", None, FetchReason.MODEL_NOT_FOUND, ["model.onnx_data", "upload both"]),
    ],
)
async def test_fetch_hf_failure_has_its_reason_and_sentence(fetch, hub, uri, token, reason, texts):
    hub.repositories["org/gated"] = HubRepository(readers=frozenset({"hf_reader"}), gated=True)
    hub.repositories["org/gated"].commit(FILES)
    hub.repositories["org/two"] = HubRepository()
    hub.repositories["org/two"].commit({"a.onnx": MODEL, "b.onnx": MODEL})
    hub.repositories["org/lost"] = HubRepository()
    hub.repositories["org/lost"].commit({"model.onnx": NAMED})

    error = await fetch(uri, token, fail=True)

    assert error.reason is reason
    assert all(text in error.message for text in texts), error.message
    assert "hf_" not in error.message


async def test_fetch_hf_waits_for_as_long_as_the_hub_asks(fetch, fetcher, hub, monkeypatch):
    answer, waits = hub.server.fallback, []

    async def busy(request: web.Request) -> web.StreamResponse:
        if len(hub.server.requests) > 1:
            return await answer(request)
        return web.Response(status=429, headers={"RateLimit": '"api";r=0;t=42'})

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    hub.server.fallback = busy
    monkeypatch.setattr("modelservice_runtime.fetch.retry.asyncio.sleep", sleep)
    await fetch("hf://org/spam/onnx/model_quantized.onnx")
    assert waits == [42]


@pytest.mark.parametrize(
    "header", ["", "api", '"api";r=0', '"api";r=0;t=x', '"api";w=300;ot=9', '"api";t=1234567']
)
def test_parse_reset_seconds_of_something_else_is_none(header):
    assert parse_reset_seconds(header) is None


async def test_fetch_hf_storage_at_a_forbidden_address_is_refused(fetch, hub):
    for server in (hub.server, hub.storage):
        assert server.port
    policy = AddressPolicy(
        allow_loopback=True, forbidden_endpoints=frozenset({("127.0.0.1", hub.storage.port)})
    )
    error = await fetch("hf://org/spam/onnx/model_quantized.onnx", fail=True, addresses=policy)
    assert error.reason is FetchReason.ADDRESS_FORBIDDEN
    assert hub.storage.requests == []


async def test_fetch_hf_other_bytes_from_the_storage_are_refused(fetch, hub):
    digest = hashlib.sha256(MODEL).hexdigest()
    signed = hub.storage.url(f"/repos/{digest[:2]}/{digest}")
    hub.storage.serve(signed.removeprefix(hub.storage.url("")), MODEL[:-1] + b"x")
    error = await fetch("hf://org/spam/onnx/model_quantized.onnx", fail=True)
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_hf_other_digest_than_the_spec_names_is_refused_before_the_download(fetch, hub):
    error = await fetch("hf://org/spam/onnx", fail=True, sha256="0" * 64)
    assert error.reason is FetchReason.DIGEST_MISMATCH
    assert hub.storage.requests == []


async def test_fetch_hf_download_that_breaks_goes_on_where_it_was(fetch, fetcher, hub):
    digest = hashlib.sha256(MODEL).hexdigest()
    path = f"/repos/{digest[:2]}/{digest}"
    tries = []

    async def breaking(request: web.Request) -> web.StreamResponse:
        tries.append(request.headers.get("Range"))
        start = request.http_range.start or 0
        headers = {"Content-Length": str(len(MODEL) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(MODEL) - 1}/{len(MODEL)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        await response.write(MODEL[start : start + 9000])
        if start + 9000 < len(MODEL) and request.transport is not None:
            request.transport.close()
        return response

    hub.storage.handlers[path] = breaking
    await fetch("hf://org/spam/onnx/model_quantized.onnx")
    assert fetcher.files == {"model.onnx": MODEL}
    assert tries == [None, "bytes=9000-"]


async def test_fetch_hf_large_files_are_taken_from_the_cache(fetch, fetcher, hub, tmp_path):
    cache = ModelCache(tmp_path / "cache", 10_000_000)
    await fetch("hf://org/spam/onnx", cache=cache)
    asked = len(hub.storage.requests)
    for path in fetcher.destination.iterdir():
        path.unlink()
    await fetch("hf://org/spam/onnx", cache=cache)
    assert fetcher.files == {"model.onnx": NAMED, "model.onnx_data": WEIGHTS}
    assert len(hub.storage.requests) == asked


async def test_fetch_hf_goes_through_the_proxy_to_the_hub_and_its_storage(fetch, hub, proxy: Proxy):
    environment = {**proxy.environment(), "HF_ENDPOINT": hub.endpoint}
    await fetch("hf://org/spam/onnx/model_quantized.onnx", environment=environment)
    asked = {head.split(" ")[1] for head in proxy.heads}
    assert asked == {f"127.0.0.1:{hub.server.port}", f"127.0.0.1:{hub.storage.port}"}


async def test_fetch_hf_without_the_authority_is_refused(fetch, fetcher):
    error = await fetch("hf://org/spam", fail=True, credentials_directory=None)
    assert "not trusted" in error.message
    assert "ca.crt" in error.message


async def test_fetch_hf_mirror_with_a_path(fetch, fetcher, hub):
    answer = hub.server.fallback

    async def below(request: web.Request) -> web.StreamResponse:
        assert request.raw_path.startswith("/api/hub/spaces/")
        return await answer(request.clone(rel_url=request.raw_path.removeprefix("/api/hub/spaces")))

    hub.server.fallback = below
    await fetch("hf://org/spam/onnx", environment={"HF_ENDPOINT": f"{hub.endpoint}/api/hub/spaces/"})
    assert set(fetcher.files) == {"model.onnx", "model.onnx_data"}


@pytest.mark.parametrize(
    "endpoint", ["ftp://h.example", "https://", "https://a@h.example", "h.example", "https://127.1"]
)
async def test_fetch_hf_endpoint_that_is_none_is_refused(fetch, endpoint):
    error = await fetch("hf://org/spam", fail=True, environment={"HF_ENDPOINT": endpoint})
    assert error.reason is FetchReason.INVALID_URI


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"sha": "x", "siblings": []}', b'{"sha": 1, "siblings": 2}']
)
async def test_fetch_hf_endpoint_that_is_no_hub_says_so(fetch, fetcher, hub, body):
    hub.server.serve("/api/models/org/spam/revision/main", body)
    error = await fetch("hf://org/spam", fail=True)
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "HF_ENDPOINT" in error.message


async def test_fetch_hf_over_plain_http_needs_the_digest_and_sends_no_token(fetch, fetcher, hub, http):
    plain = Hub(http, http, hub.repositories)
    environment = {"HF_ENDPOINT": plain.endpoint}
    uri = "hf://org/spam/onnx/model_quantized.onnx"
    assert "sha256" in (await fetch(uri, fail=True, environment=environment)).message
    sha256 = hashlib.sha256(MODEL).hexdigest()
    error = await fetch(uri, "hf_reader", fail=True, environment=environment, sha256=sha256)
    assert error.reason is FetchReason.ACCESS_DENIED
    other = hashlib.sha256(NAMED).hexdigest()
    error = await fetch("hf://org/spam", fail=True, environment=environment, sha256=other)
    assert "external data" in error.message
    await fetch(uri, environment=environment, sha256=sha256)
    assert fetcher.files == {"model.onnx": MODEL}
