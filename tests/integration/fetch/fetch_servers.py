"""Parts of the real servers on loopback that the fetcher is tested against."""

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from modelservice_runtime.fetch import FetchError, FetchRequest, FetchResult, TransferLimits
from modelservice_runtime.fetch.fetcher import fetch_model_async
from modelservice_runtime.fetch.http.addresses import AddressPolicy

FAST = TransferLimits(max_attempts=3, backoff_base_seconds=0.01, read_timeout_seconds=60)
LOOPBACK = AddressPolicy(allow_loopback=True)
START_SECONDS = 30


@dataclass(frozen=True)
class TlsFiles:
    """A self-made authority and a server certificate for loopback."""

    authority: Path
    certificate: Path
    key: Path


def make_certificate(
    subject: str, public_key: ec.EllipticCurvePublicKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    is_authority = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if not is_authority:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def write_certificate(
    files: TlsFiles, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    """Write the files that a server reads."""
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@dataclass
class Fetcher:
    """Fetches into a fresh directory with fast limits; loopback is allowed unless told otherwise."""

    directory: Path
    authority: Path

    @property
    def destination(self) -> Path:
        return self.directory / "models"

    @property
    def files(self) -> dict[str, bytes]:
        """Everything in the destination, temporary files included."""
        return {
            str(path.relative_to(self.destination)): path.read_bytes()
            for path in self.destination.rglob("*")
            if not path.is_dir()
        }

    def credentials(self, **values: str) -> Path:
        """A mounted Secret; it always has the authority of the test servers."""
        directory = self.directory / "credentials"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "ca.crt").write_bytes(self.authority.read_bytes())
        for key, value in values.items():
            (directory / key).write_text(value)
        return directory

    async def fetch(self, uri: str, **changes: object) -> FetchResult:
        return await fetch_model_async(self.request(uri, **changes))

    def request(self, uri: str, **changes: object) -> FetchRequest:
        settings: dict[str, object] = {
            "destination": self.destination,
            "max_bytes": 10_000_000,
            "addresses": LOOPBACK,
            "limits": FAST,
            **changes,
        }
        if "credentials_directory" not in settings:
            settings["credentials_directory"] = self.credentials()
        return FetchRequest(uri, **settings)  # type: ignore[arg-type]

    async def fail(self, uri: str, **changes: object) -> FetchError:
        """Fetch what cannot be fetched; nothing may be left behind."""
        with pytest.raises(FetchError) as caught:
            await self.fetch(uri, **changes)
        assert not self.destination.exists() or self.files == {}
        assert len(caught.value.message) > 20
        return caught.value


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class WebServer:
    """A web server whose paths are handlers given by the test; it remembers the requests."""

    scheme: str
    port: int = 0
    handlers: dict[str, Handler] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    fallback: Handler | None = None
    """Answers for all other paths."""

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def serve(self, path: str, data: bytes, status: int = 200, **headers: str) -> str:
        async def handler(request: web.Request) -> web.StreamResponse:
            return web.Response(body=data, status=status, headers=headers)

        self.handlers[path] = handler
        return self.url(path)

    def answer(self, path: str, status: int, **headers: str) -> str:
        async def handler(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers=headers, text="body that must not be shown")

        self.handlers[path] = handler
        return self.url(path)

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        handler = self.handlers.get(request.path) or self.fallback
        assert handler is not None, f"nothing answers for {request.path}"
        return await handler(request)


async def run_web_server(server: WebServer, context: ssl.SSLContext | None) -> AsyncIterator[WebServer]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.dispatch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


def server_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def require_program(name: str, package: str) -> str:
    """The path of a Debian program; the test is skipped where it is not installed."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed (apt-get install {package})")
    return path


def run_server(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server until the fixture ends; wait until its port answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
