"""Real servers on loopback for the fetcher."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hack.cluster.binaries import find_programs
from hack.cluster.errors import ClusterError
from hack.cluster.npm_programs import AZURITE, find_npm_program
from tests.integration.fetch.fetch_logins import TokenService, htpasswd_settings
from tests.integration.fetch.fetch_proxies import Proxy
from tests.integration.fetch.fetch_registries import RegistryServer, RegistryStarter, tls_settings
from tests.integration.fetch.fetch_servers import (
    Fetcher,
    TlsFiles,
    WebServer,
    make_certificate,
    run_web_server,
    server_context,
    write_certificate,
)
from tests.integration.fetch.fetch_stores import Store, run_store


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the stores that collected tests need: the first time takes longer than a test may."""
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    families = [
        name
        for name, users in (
            ("versitygw", {"store", "plain_store"}),
            ("fake-gcs-server", {"gcs"}),
            ("age", {"age_tool"}),
            ("oras", {"oras"}),
        )
        if fixtures & users
    ]
    needs_azurite = "azurite" in fixtures
    if session.config.option.collectonly or not (families or needs_azurite):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    # Where it fails, the fixtures of those tests fail again, with the reason; all others can still run.
    with capture.global_and_fixture_disabled(), contextlib.suppress(ClusterError):
        if needs_azurite:
            find_npm_program(*AZURITE)
        find_programs(families)


@pytest.fixture(autouse=True)
async def closed_connections() -> AsyncIterator[None]:
    """Let connections end before the event loop does: TLS says goodbye after it was told to close."""
    yield
    loop: Any = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(120):
            while len(loop._selector.get_map()) > 1:  # noqa: ASYNC110 - its own pipe; nothing tells of others
                await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """PEM files of an authority nobody else trusts."""
    directory = tmp_path_factory.mktemp("tls")
    files = TlsFiles(directory / "ca.crt", directory / "server.crt", directory / "server.key")
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = make_certificate(
        "Test Authority", authority_key.public_key(), "Test Authority", authority_key
    )
    certificate = make_certificate("localhost", key.public_key(), "Test Authority", authority_key)
    files.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    write_certificate(files, certificate, key)
    return files


@pytest.fixture
def fetcher(tmp_path: Path, tls: TlsFiles) -> Fetcher:
    return Fetcher(tmp_path, tls.authority)


@pytest.fixture
async def https(tls: TlsFiles) -> AsyncIterator[WebServer]:
    async for server in run_web_server(WebServer("https"), server_context(tls)):
        yield server


@pytest.fixture
async def other_https(tls: TlsFiles) -> AsyncIterator[WebServer]:
    async for server in run_web_server(WebServer("https"), server_context(tls)):
        yield server


@pytest.fixture
async def http() -> AsyncIterator[WebServer]:
    async for server in run_web_server(WebServer("http"), None):
        yield server


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> RegistryStarter:
    return RegistryStarter(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def registry(starter: RegistryStarter) -> Iterator[RegistryServer]:
    """A registry without TLS and without passwords, as in a test cluster; everything is pushed here."""
    yield from starter.run("plain", {}, {})


@pytest.fixture(scope="module")
def tls_registry(starter: RegistryStarter, tls: TlsFiles) -> Iterator[RegistryServer]:
    yield from starter.run("tls", tls_settings(tls), {})


@pytest.fixture(scope="module")
def password_registry(starter: RegistryStarter, tls: TlsFiles) -> Iterator[RegistryServer]:
    yield from starter.run("password", tls_settings(tls), htpasswd_settings(starter))


@pytest.fixture(scope="module")
def plain_password_registry(starter: RegistryStarter) -> Iterator[RegistryServer]:
    yield from starter.run("plain-password", {}, htpasswd_settings(starter))


@pytest.fixture
def token_service(https, tls: TlsFiles) -> TokenService:
    https.handlers["/token"] = service = TokenService(tls)
    return service


@pytest.fixture
def token_registry(starter: RegistryStarter, tls: TlsFiles, https, token_service) -> Iterator[RegistryServer]:
    token = {
        "realm": https.url("/token"),
        "service": "test-registry",
        "issuer": "test-issuer",
        "rootcertbundle": str(tls.authority),
    }
    yield from starter.run("token", tls_settings(tls), {"token": token})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[Store]:
    """An S3 store over TLS."""
    yield from run_store(tmp_path_factory.mktemp("store"), tls, "https")


@pytest.fixture(scope="module")
def plain_store(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[Store]:
    """An S3 store over plain http."""
    yield from run_store(tmp_path_factory.mktemp("plain-store"), tls, "http")
