"""Workload identity against a real S3 store: a role by web identity (IRSA), and the Pod Identity agent."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from tests.integration.fetch.fetch_models import make_model
from tests.integration.fetch.fetch_servers import WebServer, server_context
from tests.integration.fetch.fetch_stores import ACCESS_KEY, SECRET_KEY, Store

from modelservice_runtime.fetch.buckets.proxy import Endpoint, GuardProxy, Way
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.http.proxies import Proxies

MODEL = make_model()
ROLE = "arn:aws:iam::123456789012:role/reader"
EXPIRATION = "2100-01-01T00:00:00Z"
STS_ANSWER = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{ACCESS_KEY}</AccessKeyId>
<SecretAccessKey>{SECRET_KEY}</SecretAccessKey><SessionToken></SessionToken>
<Expiration>{EXPIRATION}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
STS_REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error>
</ErrorResponse>"""


@pytest.fixture(scope="module", autouse=True)
def filled(store: Store) -> None:
    store.put("/models/m.onnx", MODEL)
    store.put("/models/dir/m.onnx", MODEL)


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("the pod's token")
    return path


@pytest.fixture
def sts(https: WebServer, token_file) -> WebServer:
    """Gives the store's keys to whoever brings the pod's token and asks for the role."""

    async def handler(request: web.Request) -> web.Response:
        asked = {**request.query, **await request.post()}
        expected = {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": ROLE,
            "WebIdentityToken": token_file.read_text(),
        }
        if expected.items() <= asked.items():
            return web.Response(text=STS_ANSWER, content_type="text/xml")
        return web.Response(status=403, text=STS_REFUSAL, content_type="text/xml")

    https.handlers["/"] = handler
    return https


@pytest.fixture
def role(sts: WebServer, token_file) -> dict[str, str]:
    """What Amazon EKS sets for a service account with a role."""
    return {
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
        "AWS_ENDPOINT_URL_STS": sts.url(""),
        "AWS_REGION": "us-east-1",
    }


@pytest.fixture
def agent(http: WebServer, token_file) -> dict[str, str]:
    """What Amazon EKS sets for a service account with a Pod Identity association."""

    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != token_file.read_text():
            return web.Response(status=403)
        keys = {"AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "Token": ""}
        return web.Response(text=json.dumps({**keys, "Expiration": EXPIRATION}))

    http.handlers["/v1/credentials"] = handler
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": http.url("/v1/credentials"),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
    }


async def test_fetch_s3_role_of_the_service_account_opens_the_bucket(fetcher, store, role):
    credentials = fetcher.credentials(endpoint=store.endpoint)
    await fetcher.fetch("s3://models/m.onnx", credentials_directory=credentials, environment=role)
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_s3_pod_identity_agent_opens_the_bucket(fetcher, store, agent):
    credentials = fetcher.credentials(endpoint=store.endpoint)
    await fetcher.fetch("s3://models/dir/", credentials_directory=credentials, environment=agent)
    assert fetcher.files == {"m.onnx": MODEL}


async def test_fetch_s3_keys_of_the_secret_come_before_the_role(fetcher, store, role, sts):
    await fetcher.fetch(
        "s3://models/m.onnx", credentials_directory=fetcher.credentials(**store.keys), environment=role
    )
    assert fetcher.files == {"model.onnx": MODEL}
    assert sts.requests == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/other"}, "role/other: HTTP 403"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"}, "No such file"),
    ],
)
async def test_fetch_s3_role_that_is_refused_is_named(fetcher, store, role, change, named, token_file):
    error = await fetcher.fail(
        "s3://models/m.onnx",
        credentials_directory=fetcher.credentials(endpoint=store.endpoint),
        environment={**role, **change},
    )
    assert error.reason is FetchReason.ACCESS_DENIED
    assert named in error.message
    assert "spec.serviceAccountName" in error.message
    assert token_file.read_text() not in error.message


async def test_fetch_s3_agent_that_refuses_is_named(fetcher, store, agent, tmp_path):
    (tmp_path / "other").write_text("another pod's token")
    error = await fetcher.fail(
        "s3://models/m.onnx",
        credentials_directory=fetcher.credentials(endpoint=store.endpoint),
        environment={**agent, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "other")},
    )
    assert error.reason is FetchReason.ACCESS_DENIED
    assert "Pod Identity agent at 127.0.0.1: HTTP 403" in error.message


async def test_fetch_s3_agent_is_no_store(fetcher, agent, http):
    error = await fetcher.fail(
        "s3://models/m.onnx",
        sha256="0" * 64,
        credentials_directory=fetcher.credentials(endpoint=http.url("")),
        environment=agent,
    )
    assert error.reason is FetchReason.INVALID_URI
    assert http.requests == []


@pytest.fixture
async def proxy(http: WebServer, tls):
    """A proxy that refuses loopback, except for one service."""
    services = frozenset({Endpoint("127.0.0.1", http.port)})
    async with GuardProxy(AddressPolicy(), services, {}, Way(server_context(tls), Proxies(), 10)) as running:
        yield running


async def ask(proxy_url: str, url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy_url) as response:
        await response.read()
        return response.status


async def test_proxy_opens_exactly_the_service(proxy, http, other_https, https):
    http.serve("/v1/credentials", b"keys")
    assert await ask(proxy.url, http.url("/v1/credentials")) == 200
    # The same address under another name or port is a store's, and refused.
    assert await ask(proxy.url, f"http://localhost:{http.port}/v1/credentials") == 502
    for url in (https.url("/m.onnx"), "https://169.254.170.23/m.onnx", "https://2130706433/m.onnx"):
        with pytest.raises(aiohttp.ClientHttpProxyError):
            await ask(proxy.url, url)
        failure = proxy.take_failure()
        assert isinstance(failure, FetchError)
        assert failure.reason is FetchReason.ADDRESS_FORBIDDEN
    assert https.requests == []


async def test_proxy_serves_nobody_without_the_password(proxy, http):
    http.serve("/v1/credentials", b"keys")
    scheme, _, rest = proxy.url.partition("://")
    _, _, address = rest.rpartition("@")
    for wrong in (f"{scheme}://{address}", f"{scheme}://fetch:guess@{address}"):
        assert await ask(wrong, http.url("/v1/credentials")) == 407
    assert http.requests == []


async def test_proxy_does_not_pass_its_password_on(proxy, http):
    http.serve("/v1/credentials", b"keys")
    await ask(proxy.url, http.url("/v1/credentials?a=b/c"))
    [request] = http.requests
    assert "Proxy-Authorization" not in request.headers
    assert request.raw_path == "/v1/credentials?a=b/c"


@pytest.mark.parametrize("head", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff \xff \xff\r\n\r\n", b"x" * 100_000])
async def test_proxy_ends_connections_that_speak_no_http(proxy, head):
    port = int(proxy.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    assert b"200" not in await reader.read()
    writer.close()
