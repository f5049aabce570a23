"""The fetcher against a real S3 store: versitygw on a directory."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from tests.integration.fetch.fetch_models import WEIGHTS, make_model
from tests.integration.fetch.fetch_servers import (
    TlsFiles,
    WebServer,
    make_certificate,
    run_web_server,
    server_context,
    write_certificate,
)
from tests.integration.fetch.fetch_stores import SECRET_KEY, Store
from tests.support.ports import free_port

from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.limits import TransferLimits

MODEL = b"\x08\x08spam" + bytes(range(256)) * 4000
LARGE = make_model("weights/part 1.bin")
SHA256, LARGE_SHA256 = (hashlib.sha256(model).hexdigest() for model in (MODEL, LARGE))
# What is found beside models.
STRAYS = [
    ".gitattributes",
    "README.md",
    "my notes (ü).txt",
    "_SUCCESS",
    "folder/",
    "deeper/other.onnx",
    ".hidden",
]


def fill(store: Store) -> None:
    store.put("/models/spam/3.onnx", MODEL)
    store.put("/models/large/large.onnx", LARGE)
    store.put("/models/large/weights/part%201.bin", WEIGHTS)
    for name in STRAYS:
        store.put(f"/models/large/{quote(name)}", b"" if name.endswith(("/", "_SUCCESS")) else b"stray")


@pytest.fixture(scope="module", autouse=True)
def filled(store: Store, plain_store: Store) -> None:
    fill(store)
    fill(plain_store)


async def test_fetch_s3_single_object(fetcher, store):
    result = await fetcher.fetch(
        "s3://models/spam/3.onnx", credentials_directory=fetcher.credentials(**store.keys)
    )
    assert fetcher.files == {"model.onnx": MODEL}
    assert (result.sha256, result.size_bytes) == (SHA256, len(MODEL))


@pytest.mark.parametrize(
    ("key", "uri"),
    [
        ("a+b=c&d~e/%(v1).onnx", "a+b=c&d~e/%(v1).onnx"),
        ("my models/spam 1.onnx", "my%20models/spam%201.onnx"),
        ("modèles/é.onnx", "mod%C3%A8les/%C3%A9.onnx"),
        ("100%20.onnx", "100%2520.onnx"),
        ("a?b#c*[d].onnx", "a%3Fb%23c*[d].onnx"),
    ],
)
async def test_fetch_s3_key_with_any_characters_can_be_named(fetcher, store, key, uri):
    store.put(f"/models/{quote(key, safe='/~')}", MODEL)
    await fetcher.fetch(f"s3://models/{uri}", credentials_directory=fetcher.credentials(**store.keys))
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_s3_prefix_gives_the_model_and_what_it_names(fetcher, store, caplog):
    caplog.set_level("INFO", "modelservice_runtime.fetch")
    result = await fetcher.fetch(
        "s3://models/large/", sha256=LARGE_SHA256, credentials_directory=fetcher.credentials(**store.keys)
    )
    assert fetcher.files == {"large.onnx": LARGE, "weights/part 1.bin": WEIGHTS}
    assert (result.model_path.name, result.file_count) == ("large.onnx", 2)
    left_out = next(record.fields for record in caplog.records if "left out" in record.message)
    assert ".gitattributes" in left_out["names"]
    assert left_out["count"] == len(STRAYS)


@pytest.mark.parametrize("uri", ["s3://models/large/large.onnx", "s3://models/large"])
async def test_fetch_s3_external_data_comes_with_one_object_and_without_the_slash(fetcher, store, uri):
    await fetcher.fetch(uri, credentials_directory=fetcher.credentials(**store.keys))
    name = "model.onnx" if uri.endswith("onnx") else "large.onnx"
    assert fetcher.files == {name: LARGE, "weights/part 1.bin": WEIGHTS}


async def test_fetch_s3_missing_external_data_is_named(fetcher, store):
    store.put("/models/lone/m.onnx", LARGE)
    error = await fetcher.fail(
        "s3://models/lone/m.onnx", credentials_directory=fetcher.credentials(**store.keys)
    )
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "s3://models/lone/weights/part%201.bin" in error.message


async def test_fetch_s3_versions_below_a_prefix(fetcher, store):
    credentials = fetcher.credentials(**store.keys)
    store.put("/models/versions/1/model.onnx", MODEL)
    await fetcher.fetch("s3://models/versions/", credentials_directory=credentials)
    assert fetcher.files == {"model.onnx": MODEL}
    store.put("/models/versions/2/model.onnx", MODEL)
    (fetcher.destination / "model.onnx").unlink()
    error = await fetcher.fail("s3://models/versions/", credentials_directory=credentials)
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "as in s3://models/versions/2/model.onnx" in error.message


async def test_fetch_s3_object_with_a_slash_is_told_without(fetcher, store):
    error = await fetcher.fail(
        "s3://models/spam/3.onnx/", credentials_directory=fetcher.credentials(**store.keys)
    )
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "s3://models/spam/3.onnx is an object" in error.message


async def test_fetch_s3_prefix_without_a_model_says_what_is_there(fetcher, store):
    store.put("/models/docs/README.md", b"read me")
    error = await fetcher.fail("s3://models/docs/", credentials_directory=fetcher.credentials(**store.keys))
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "README.md" in error.message


async def test_fetch_s3_object_that_is_no_model_is_named(fetcher, store):
    store.put("/models/docs/README.md", b"read me")
    keys = fetcher.credentials(**store.keys)
    error = await fetcher.fail("s3://models/docs/README.md", credentials_directory=keys)
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "s3://models/docs/README.md, and no model" in error.message
    assert fetcher.files == {}


@pytest.mark.parametrize(
    ("uri", "changes", "reason"),
    [
        ("s3://models/absent.onnx", {}, FetchReason.MODEL_NOT_FOUND),
        ("s3://absent/3.onnx", {}, FetchReason.MODEL_NOT_FOUND),
        ("s3://models/absent/", {}, FetchReason.MODEL_NOT_FOUND),
        ("s3://models/spam/3.onnx", {"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, FetchReason.ACCESS_DENIED),
        ("s3://models/spam/3.onnx", {"AWS_ACCESS_KEY_ID": "unknown"}, FetchReason.ACCESS_DENIED),
        ("s3://models/large/", {"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, FetchReason.ACCESS_DENIED),
        ("s3://models/spam/3.onnx", {"AWS_SECRET_ACCESS_KEY": ""}, FetchReason.CREDENTIALS_MISSING),
    ],
)
async def test_fetch_s3_failure_has_its_reason(fetcher, store, uri, changes, reason):
    credentials = fetcher.credentials(**{**store.keys, **changes})
    error = await fetcher.fail(uri, credentials_directory=credentials)
    assert error.reason is reason
    assert SECRET_KEY not in error.message
    assert "wrong-secret" not in error.message


async def test_fetch_s3_anonymous_without_right_is_credentials_missing(fetcher, store):
    credentials = fetcher.credentials(endpoint=store.endpoint)
    error = await fetcher.fail("s3://models/spam/3.onnx", credentials_directory=credentials)
    assert error.reason is FetchReason.CREDENTIALS_MISSING


async def test_fetch_s3_anonymous_reads_a_public_bucket(fetcher, store):
    store.put("/public")
    statement = (
        '{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::public/*"}'
    )
    store.put("/public", f'{{"Version":"2012-10-17","Statement":[{statement}]}}'.encode(), "?policy=")
    store.put("/public/m.onnx", MODEL)
    await fetcher.fetch(
        "s3://public/m.onnx", credentials_directory=fetcher.credentials(endpoint=store.endpoint)
    )
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_s3_wrong_digest_leaves_nothing(fetcher, store):
    credentials = fetcher.credentials(**store.keys)
    error = await fetcher.fail("s3://models/spam/3.onnx", sha256="0" * 64, credentials_directory=credentials)
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_s3_too_large_is_refused(fetcher, store):
    credentials = fetcher.credentials(**store.keys)
    error = await fetcher.fail("s3://models/spam/3.onnx", max_bytes=1000, credentials_directory=credentials)
    assert error.reason is FetchReason.MODEL_TOO_LARGE


async def test_fetch_s3_plain_http_needs_a_digest(fetcher, plain_store):
    credentials = fetcher.credentials(**plain_store.keys)
    for uri, sha256 in (
        ("s3://models/spam/3.onnx", None),
        ("s3://models/spam/", None),
        ("s3://models/large/", LARGE_SHA256),
    ):
        error = await fetcher.fail(uri, sha256=sha256, credentials_directory=credentials)
        assert error.reason is FetchReason.INVALID_URI
    await fetcher.fetch("s3://models/spam/3.onnx", sha256=SHA256, credentials_directory=credentials)
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_s3_forbidden_address_is_not_contacted(fetcher, store):
    credentials = fetcher.credentials(**store.keys)
    error = await fetcher.fail(
        "s3://models/spam/3.onnx", addresses=AddressPolicy(), credentials_directory=credentials
    )
    assert error.reason is FetchReason.ADDRESS_FORBIDDEN
    assert "127.0.0.1 is a loopback address" in error.message


async def test_fetch_s3_untrusted_certificate_names_the_remedy(fetcher, store):
    credentials = fetcher.credentials(**store.keys)
    (credentials / "ca.crt").unlink()
    error = await fetcher.fail("s3://models/spam/3.onnx", credentials_directory=credentials)
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "ca.crt" in error.message


async def test_fetch_s3_self_signed_certificate_is_its_own_authority(fetcher, tmp_path):
    """As `openssl req -x509` makes it, and as many a store in a cluster has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    tls = TlsFiles(tmp_path / "own.crt", tmp_path / "own.crt", tmp_path / "own.key")
    certificate = make_certificate("localhost", key.public_key(), "localhost", key)
    write_certificate(tls, certificate, key)
    async for server in run_web_server(WebServer("https"), server_context(tls)):
        server.serve("/models/m.onnx", MODEL)
        credentials = fetcher.credentials(endpoint=server.url(""), **{"ca.crt": tls.authority.read_text()})
        await fetcher.fetch("s3://models/m.onnx", credentials_directory=credentials)
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_s3_store_that_is_down_is_tried_again(fetcher, caplog):
    keys = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    error = await fetcher.fail(
        "s3://models/m.onnx", sha256=SHA256, credentials_directory=fetcher.credentials(**keys)
    )
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "after 3 attempts: cannot connect to 127.0.0.1" in error.message


@pytest.mark.parametrize("status", [503, 429, 500])
async def test_fetch_s3_busy_store_is_asked_again(fetcher, https, status):
    async def recover(request):
        https.serve("/models/m.onnx", MODEL)
        return web.Response(status=status, text="<Error><Code>SlowDown</Code></Error>")

    https.handlers["/models/m.onnx"] = recover
    await fetcher.fetch(
        "s3://models/m.onnx", credentials_directory=fetcher.credentials(endpoint=https.url(""))
    )
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_s3_slow_store_is_given_up(fetcher, https):
    async def drip(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(MODEL))})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.02)
        return response

    https.handlers["/models/m.onnx"] = drip
    limits = TransferLimits(max_attempts=2, backoff_base_seconds=0.01, low_speed_window_seconds=0.2)
    error = await fetcher.fail(
        "s3://models/m.onnx",
        credentials_directory=fetcher.credentials(endpoint=https.url("")),
        limits=limits,
    )
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "slower than 1024 bytes a second" in error.message


async def test_fetch_s3_redirect_to_plain_http_is_not_followed(fetcher, https, http):
    http.serve("/models/m.onnx", MODEL)
    https.answer("/models/m.onnx", 307, Location=http.url("/models/m.onnx"))
    error = await fetcher.fail(
        "s3://models/m.onnx", credentials_directory=fetcher.credentials(endpoint=https.url(""))
    )
    assert error.reason in (FetchReason.ADDRESS_FORBIDDEN, FetchReason.DOWNLOAD_FAILED)
    assert http.requests == []


async def test_fetch_s3_bucket_of_another_region_names_the_region(fetcher, https):
    body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"
    https.serve("/models/m.onnx", body, status=400)
    error = await fetcher.fail(
        "s3://models/m.onnx", credentials_directory=fetcher.credentials(endpoint=https.url(""))
    )
    assert "eu-west-3" in error.message


@dataclass
class CuttingProxy:
    """Passes bytes to a store and cuts the first connections in the middle of the answer."""

    target_port: int
    cuts: int
    port: int = 0
    connections: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        limit = len(MODEL) // 2 if self.connections <= self.cuts else None
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(_copy(reader, upstream_writer, None))
                await _copy(upstream_reader, writer, limit)
                up.cancel()
        finally:
            upstream_writer.close()
            writer.transport.abort() if limit else writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    copied = 0
    try:
        while (data := await reader.read(65536)) and (limit is None or copied < limit):
            writer.write(data)
            await writer.drain()
            copied += len(data)
    except ConnectionError:
        return


@pytest.fixture
async def cutting_proxy(plain_store: Store) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(plain_store.port, cuts=1)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy


async def test_fetch_s3_cut_connection_is_resumed(fetcher, plain_store, cutting_proxy, caplog):
    keys = {**plain_store.keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cutting_proxy.port}"}
    await fetcher.fetch(
        "s3://models/spam/3.onnx", sha256=SHA256, credentials_directory=fetcher.credentials(**keys)
    )
    assert fetcher.files == {"model.onnx": MODEL}
    assert cutting_proxy.connections == 2
