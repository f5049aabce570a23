"""The fetcher against Azurite, Microsoft's emulator (where there is npm), and Azure Workload Identity."""

import base64
import email.utils
import hashlib
import hmac
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import obstore
import pytest
from aiohttp import web
from hack.cluster.errors import ClusterError
from hack.cluster.npm_programs import AZURITE, find_npm_program
from obstore.store import AzureStore
from tests.integration.fetch.fetch_models import WEIGHTS, make_model
from tests.integration.fetch.fetch_servers import FAST, LOOPBACK, TlsFiles, run_server
from tests.support.ports import free_port
from yarl import URL

from modelservice_runtime.fetch.buckets.azure import build_bucket
from modelservice_runtime.fetch.buckets.identity import find_azure_identity
from modelservice_runtime.fetch.buckets.object_store import open_bucket
from modelservice_runtime.fetch.buckets.objects import BucketFetch
from modelservice_runtime.fetch.buckets.proxy import Way
from modelservice_runtime.fetch.credentials import Credentials, build_ssl_context
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.files.destination import Destination
from modelservice_runtime.fetch.files.transfer import Transfer
from modelservice_runtime.fetch.http.proxies import Proxies
from modelservice_runtime.fetch.limits import Budget
from modelservice_runtime.fetch.uri import ObjectUri

MODEL, LARGE = make_model(), make_model("weights/part 1.bin")
# The account that every Azurite has (learn.microsoft.com, "Use the Azurite emulator").
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Azurite:
    """A running emulator with the container `models`."""

    port: int
    authority: Path

    @property
    def keys(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"https://127.0.0.1:{self.port}/{ACCOUNT}",
        }

    def make_container(self) -> None:
        """Signed by the account's key (learn.microsoft.com, "Authorize with Shared Key")."""
        sent = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        signed = [f"{name}:{value}" for name, value in sorted(sent.items())]
        text = "\n".join(("PUT", *[""] * 11, *signed, f"/{ACCOUNT}/{ACCOUNT}/models", "restype:container"))
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        sent["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        url = f"{self.keys['AZURE_STORAGE_ENDPOINT']}/models?restype=container"
        request = urllib.request.Request(url, method="PUT", headers=sent)
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(request, timeout=120, context=context) as response:
            assert response.status == 201

    def put(self, key: str, data: bytes) -> None:
        keys = self.keys
        store = AzureStore(
            "models",
            config={
                "account_name": ACCOUNT,
                "account_key": KEY,
                "endpoint": keys["AZURE_STORAGE_ENDPOINT"],
            },
            client_options={"root_certificate": self.authority.read_bytes()},
        )
        obstore.put(store, key, data)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[Azurite]:
    try:
        program = str(find_npm_program(*AZURITE))
    except ClusterError as error:
        pytest.skip(str(error))
    directory, port = tmp_path_factory.mktemp("azurite"), free_port()
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(directory)]
    command += ["--cert", str(tls.certificate), "--key", str(tls.key)]
    command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    for _ in run_server(command, port, directory / "log"):
        emulator = Azurite(port, tls.authority)
        emulator.make_container()
        objects = {
            "spam/3.onnx": MODEL,
            "my models/é.onnx": MODEL,
            "large/README.md": b"read me",
            "large/large.onnx": LARGE,
            "large/weights/part 1.bin": WEIGHTS,
        }
        for key, data in objects.items():
            emulator.put(key, data)
        yield emulator


@pytest.mark.parametrize(
    ("uri", "files"),
    [
        ("az://models/spam/3.onnx", {"model.onnx": MODEL}),
        ("az://models/my%20models/%C3%A9.onnx", {"model.onnx": MODEL}),
        ("az://models/large", {"large.onnx": LARGE, "weights/part 1.bin": WEIGHTS}),
        ("az://models/large/", {"large.onnx": LARGE, "weights/part 1.bin": WEIGHTS}),
    ],
)
async def test_fetch_az_gives_the_model_and_what_it_names(fetcher, azurite, uri, files):
    await fetcher.fetch(uri, credentials_directory=fetcher.credentials(**azurite.keys))
    assert fetcher.files == files


@pytest.mark.parametrize(
    ("uri", "changes", "reason"),
    [
        ("az://models/absent.onnx", {}, FetchReason.MODEL_NOT_FOUND),
        ("az://models/absent/", {}, FetchReason.MODEL_NOT_FOUND),
        ("az://absent/m.onnx", {}, FetchReason.MODEL_NOT_FOUND),
        ("az://models/spam/3.onnx", {"AZURE_STORAGE_KEY": "d3Jvbmcta2V5"}, FetchReason.ACCESS_DENIED),
        ("az://models/spam/3.onnx", {"AZURE_STORAGE_KEY": "no base64!"}, FetchReason.CREDENTIALS_MISSING),
        ("az://models/spam/3.onnx", {"AZURE_STORAGE_KEY": ""}, FetchReason.CREDENTIALS_MISSING),
    ],
)
async def test_fetch_az_failure_has_its_reason(fetcher, azurite, uri, changes, reason):
    credentials = fetcher.credentials(**{**azurite.keys, **changes})
    error = await fetcher.fail(uri, credentials_directory=credentials)
    assert error.reason is reason
    assert KEY not in error.message
    assert "wrong-key" not in error.message


@pytest.mark.parametrize("client", ["reader", "stranger"])
async def test_fetch_az_as_the_pod(fetcher, https, tls, tmp_path, client):
    """A web server is the authority and the store: the emulator asks for tokens of Microsoft's own."""
    token = tmp_path / "token"
    token.write_text("the pod's token")

    async def authority(request: web.Request) -> web.Response:
        form = await request.post()
        if (form["client_id"], form["client_assertion"]) != ("reader", token.read_text()):
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({"access_token": "bearer", "expires_in": 3600, "token_type": "Bearer"})

    async def blob(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer bearer"
        headers = {"Last-Modified": "Sun, 29 Nov 2026 02:00:00 GMT", "ETag": '"1"'}
        return web.Response(body=MODEL, headers=headers)

    https.handlers.update({"/tenant/oauth2/v2.0/token": authority, "/models/m.onnx": blob})
    identity = find_azure_identity(
        {
            "AZURE_CLIENT_ID": client,
            "AZURE_TENANT_ID": "tenant",
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            "AZURE_AUTHORITY_HOST": https.url("/"),
        }
    )
    named = Credentials({"AZURE_STORAGE_ACCOUNT": ACCOUNT})
    bucket = replace(build_bucket("models", named, identity), endpoint=URL(https.url("")))
    authorities = tls.authority.read_text()
    way = Way(build_ssl_context(Credentials({"ca.crt": authorities})), Proxies(), 10)
    with Destination(fetcher.destination) as destination:
        transfer = Transfer(destination, Budget(10_000_000), FAST)
        async with open_bucket(bucket, LOOPBACK, way, authorities, FAST) as store:
            fetch = BucketFetch(store, ObjectUri("az", "models", "m.onnx"), None, transfer)
            if client == "reader":
                await fetch.run()
                assert fetcher.files == {"model.onnx": MODEL}
            else:
                with pytest.raises(FetchError, match="the client stranger: HTTP 401") as caught:
                    await fetch.run()
                assert caught.value.reason is FetchReason.ACCESS_DENIED


async def test_fetch_az_key_of_the_secret_comes_before_the_pods_own_variables(fetcher, azurite, monkeypatch):
    environment = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/nowhere"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    await fetcher.fetch(
        "az://models/spam/3.onnx",
        credentials_directory=fetcher.credentials(**azurite.keys),
        environment=environment,
    )
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_az_goes_through_a_tunnel_and_trusts_the_private_authority_alone(fetcher, azurite, proxy):
    credentials = fetcher.credentials(**azurite.keys)
    uri = "az://models/spam/3.onnx"
    await fetcher.fetch(uri, credentials_directory=credentials, environment=proxy.environment())
    assert fetcher.files == {"model.onnx": MODEL}
    assert {head.split(" ")[1] for head in proxy.heads} == {f"127.0.0.1:{azurite.port}"}

    (fetcher.destination / "model.onnx").unlink()
    (credentials / "ca.crt").unlink()
    error = await fetcher.fail(uri, credentials_directory=credentials, environment=proxy.environment())
    assert "certificate of 127.0.0.1 is not trusted" in error.message
