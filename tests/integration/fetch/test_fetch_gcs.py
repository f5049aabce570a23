"""The fetcher against an emulated Google Cloud Storage, and an emulated metadata server of GKE."""

import json
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hack.cluster.binaries import find_programs
from tests.integration.fetch.fetch_models import WEIGHTS, make_model
from tests.integration.fetch.fetch_servers import FAST, LOOPBACK, TlsFiles, WebServer, run_server
from tests.support.ports import free_port
from yarl import URL

from modelservice_runtime.fetch.buckets.gcs import build_bucket, explain_error
from modelservice_runtime.fetch.buckets.identity import find_google_identity
from modelservice_runtime.fetch.buckets.object_store import open_bucket
from modelservice_runtime.fetch.buckets.objects import BucketFetch
from modelservice_runtime.fetch.buckets.proxy import Endpoint, Way
from modelservice_runtime.fetch.credentials import Credentials, build_ssl_context
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.files.destination import Destination
from modelservice_runtime.fetch.files.transfer import Transfer
from modelservice_runtime.fetch.http.proxies import Proxies
from modelservice_runtime.fetch.limits import Budget
from modelservice_runtime.fetch.uri import ObjectUri

MODEL, LARGE = make_model(), make_model("weights/part 1.bin")


@dataclass(frozen=True)
class Gcs:
    """A running emulator with the bucket `models`."""

    port: int
    authority: Path

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def put(self, key: str, data: bytes) -> None:
        self._send(f"/upload/storage/v1/b/models/o?uploadType=media&name={quote(key, safe='')}", data)

    def make_bucket(self) -> None:
        self._send("/storage/v1/b?project=test", b'{"name": "models"}')

    def _send(self, path: str, data: bytes) -> None:
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(f"{self.endpoint}{path}", data, 10, context=context) as response:
            assert response.status == 200


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[Gcs]:
    program = str(find_programs(["fake-gcs-server"])["fake-gcs-server"])
    port = free_port()
    command = [program, "-scheme", "https", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-cert-location", str(tls.certificate), "-private-key-location", str(tls.key)]
    command += ["-public-host", f"127.0.0.1:{port}", "-log-level", "error"]
    for _ in run_server(command, port, tmp_path_factory.mktemp("gcs") / "log"):
        store = Gcs(port, tls.authority)
        store.make_bucket()
        store.put("spam/3.onnx", MODEL)
        store.put("my models/é.onnx", MODEL)
        store.put("large/README.md", b"read me")
        store.put("large/large.onnx", LARGE)
        store.put("large/weights/part 1.bin", WEIGHTS)
        yield store


@pytest.fixture(scope="module")
def key() -> str:
    """A service account's key as Google Cloud gives it."""
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fields = {"private_key": private.decode(), "private_key_id": "1", "client_email": "reader@test.example"}
    return json.dumps({"type": "service_account", "gcs_base_url": "https://evil.example", **fields})


@pytest.mark.parametrize(
    ("uri", "files"),
    [
        ("gs://models/spam/3.onnx", {"model.onnx": MODEL}),
        ("gs://models/my%20models/%C3%A9.onnx", {"model.onnx": MODEL}),
        ("gs://models/large", {"large.onnx": LARGE, "weights/part 1.bin": WEIGHTS}),
        ("gs://models/large/", {"large.onnx": LARGE, "weights/part 1.bin": WEIGHTS}),
    ],
)
async def test_fetch_gs_gives_the_model_and_what_it_names(fetcher, gcs, uri, files):
    await fetcher.fetch(uri, credentials_directory=fetcher.credentials(GOOGLE_BASE_URL=gcs.endpoint))
    assert fetcher.files == files


async def test_fetch_gs_as_the_account_of_a_key(fetcher, gcs, key):
    credentials = fetcher.credentials(GOOGLE_BASE_URL=gcs.endpoint, **{"key.json": key})
    await fetcher.fetch("gs://models/spam/3.onnx", credentials_directory=credentials)
    assert fetcher.files == {"model.onnx": MODEL}


@pytest.mark.parametrize("uri", ["gs://models/absent.onnx", "gs://models/absent/", "gs://absent/m.onnx"])
async def test_fetch_gs_absent_object_is_model_not_found(fetcher, gcs, uri):
    credentials = fetcher.credentials(GOOGLE_BASE_URL=gcs.endpoint)
    error = await fetcher.fail(uri, credentials_directory=credentials)
    assert error.reason is FetchReason.MODEL_NOT_FOUND


@pytest.mark.parametrize("key", ["nope", "[]", '{"type": "external_account"}', '{"private_key": 7}'])
async def test_fetch_gs_other_key_is_credentials_missing(fetcher, key):
    error = await fetcher.fail(
        "gs://models/m.onnx", credentials_directory=fetcher.credentials(**{"key.json": key})
    )
    assert error.reason is FetchReason.CREDENTIALS_MISSING
    assert "key.json" in error.message


async def test_fetch_gs_token_of_the_pod_is_for_no_other_endpoint(fetcher, gcs):
    error = await fetcher.fail(
        "gs://models/spam/3.onnx",
        credentials_directory=fetcher.credentials(GOOGLE_BASE_URL=gcs.endpoint),
        use_pod_identity=True,
    )
    assert error.reason is FetchReason.INVALID_URI
    assert "GOOGLE_BASE_URL" in error.message


@pytest.mark.parametrize("status", [200, 404])
async def test_fetch_gs_as_the_pod(fetcher, gcs, tls, http: WebServer, monkeypatch, status):
    """The metadata server is reached although its address is refused to models."""

    async def answer(request: web.Request) -> web.Response:
        if status != 200 or request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=404)
        return web.json_response({"access_token": "token", "expires_in": 3600, "token_type": "Bearer"})

    http.handlers["/computeMetadata/v1/instance/service-accounts/default/token"] = answer
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, f"127.0.0.1:{http.port}")
    identity = find_google_identity({"GCE_METADATA_HOST": f"127.0.0.1:{http.port}"}, wanted=True)
    credentials = Credentials({"ca.crt": tls.authority.read_text()})
    bucket = replace(build_bucket("models", Credentials(), identity), endpoint=URL(gcs.endpoint))
    way = Way(build_ssl_context(credentials), Proxies(), 10)
    with Destination(fetcher.destination) as destination:
        transfer = Transfer(destination, Budget(10_000_000), FAST)
        async with open_bucket(bucket, LOOPBACK, way, "", FAST) as store:
            fetch = BucketFetch(store, ObjectUri("gs", "models", "spam/3.onnx"), None, transfer)
            if status == 200:
                await fetch.run()
                assert fetcher.files == {"model.onnx": MODEL}
            else:
                with pytest.raises(FetchError, match="metadata server: HTTP 404") as caught:
                    await fetch.run()
                assert caught.value.reason is FetchReason.ACCESS_DENIED
    assert len(http.requests) >= 1


def test_find_google_identity_is_asked_for_only_where_it_is_wanted():
    assert find_google_identity({}, wanted=False) is None
    identity = find_google_identity({}, wanted=True)
    assert identity is not None
    assert identity.services == {Endpoint("metadata.google.internal", 80), Endpoint("169.254.169.254", 80)}


def test_explain_error_anonymous_reader_learns_of_both_ways():
    error = explain_error(401, "AccessDenied", "", False)
    assert error is not None
    assert error.reason is FetchReason.CREDENTIALS_MISSING
    assert "key.json" in error.message
    assert "spec.serviceAccountName" in error.message
    assert explain_error(403, "AccessDenied", "", True) is None


async def test_fetch_gs_goes_through_a_tunnel_and_trusts_the_private_authority_alone(fetcher, gcs, proxy):
    credentials = fetcher.credentials(GOOGLE_BASE_URL=gcs.endpoint)
    uri = "gs://models/spam/3.onnx"
    await fetcher.fetch(uri, credentials_directory=credentials, environment=proxy.environment())
    assert fetcher.files == {"model.onnx": MODEL}
    assert {head.split(" ")[1] for head in proxy.heads} == {f"127.0.0.1:{gcs.port}"}

    (fetcher.destination / "model.onnx").unlink()
    (credentials / "ca.crt").unlink()
    error = await fetcher.fail(uri, credentials_directory=credentials, environment=proxy.environment())
    assert "certificate of 127.0.0.1 is not trusted" in error.message
