"""The fetcher against a real S3 store: versitygw on a directory."""

import asyncio
import hashlib
import http.client
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hack.cluster.binaries import find_programs
from tests.integration.fetch.fetch_servers import TlsFiles, free_port, run_server

from modelservice_runtime.fetch.errors import FetchReason

MODEL = b"\x08\x08spam" + bytes(range(256)) * 4000
WEIGHTS = b"weights" * 5000
SHA256 = hashlib.sha256(MODEL).hexdigest()
ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"


@dataclass(frozen=True)
class Store:
    """A running store with the bucket ``models``."""

    scheme: str
    port: int
    authority: Path

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def keys(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def put(self, path: str, data: bytes = b"", query: str = "") -> None:
        """A signed PUT: an object, a bucket or a bucket's policy."""
        request = AWSRequest("PUT", f"{self.endpoint}{path}{query}", data=data)
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
        if self.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.authority))
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("PUT", path + query, data, dict(request.headers.items()))
            response = connection.getresponse()
            text = response.read()
            assert response.status in (200, 204), text
        finally:
            connection.close()


def _run_store(directory: Path, tls: TlsFiles, scheme: str) -> Iterator[Store]:
    program = str(find_programs(["versitygw"])["versitygw"])
    port = free_port()
    (directory / "root").mkdir()
    command = [
        program,
        "--access",
        ACCESS_KEY,
        "--secret",
        SECRET_KEY,
        "--port",
        f"127.0.0.1:{port}",
        "--quiet",
    ]
    if scheme == "https":
        command += ["--cert", str(tls.certificate), "--key", str(tls.key)]
    command += ["posix", "--sidecar", str(directory / "metadata"), str(directory / "root")]
    (directory / "metadata").mkdir()
    for _ in run_server(command, port, directory / "log"):
        store = Store(scheme, port, tls.authority)
        store.put("/models")
        store.put("/models/spam/3.onnx", MODEL)
        store.put("/models/large/large.onnx", MODEL)
        store.put("/models/large/large.onnx.data", WEIGHTS)
        store.put("/models/large/deeper/other.onnx", MODEL)
        yield store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[Store]:
    """A store over TLS."""
    yield from _run_store(tmp_path_factory.mktemp("store"), tls, "https")


@pytest.fixture(scope="module")
def plain_store(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[Store]:
    """A store over plain http."""
    yield from _run_store(tmp_path_factory.mktemp("plain-store"), tls, "http")


async def test_fetch_s3_single_object(fetcher, store):
    result = await fetcher.fetch(
        "s3://models/spam/3.onnx", credentials_directory=fetcher.credentials(**store.keys)
    )
    assert fetcher.files == {"model.onnx": MODEL}
    assert (result.sha256, result.size_bytes) == (SHA256, len(MODEL))


async def test_fetch_s3_key_with_special_characters(fetcher, store):
    store.put("/models/a%2Bb%3Dc%26d~e/%25%28v1%29.onnx", MODEL)
    await fetcher.fetch(
        "s3://models/a+b=c&d~e/%(v1).onnx", credentials_directory=fetcher.credentials(**store.keys)
    )
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_s3_prefix_stores_every_object_directly_below(fetcher, store):
    result = await fetcher.fetch(
        "s3://models/large/", sha256=SHA256, credentials_directory=fetcher.credentials(**store.keys)
    )
    assert fetcher.files == {"large.onnx": MODEL, "large.onnx.data": WEIGHTS}
    assert (result.model_path.name, result.file_count) == ("large.onnx", 2)


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
    for uri in ("s3://models/spam/3.onnx", "s3://models/large/"):
        error = await fetcher.fail(uri, credentials_directory=credentials)
        assert error.reason is FetchReason.INVALID_URI
    await fetcher.fetch("s3://models/spam/3.onnx", sha256=SHA256, credentials_directory=credentials)
    assert fetcher.files == {"model.onnx": MODEL}


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
