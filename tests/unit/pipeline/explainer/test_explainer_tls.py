"""The explainer of a model behind TLS: both show one certificate, which changes while they run."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from tests.support.operator_process import wait_until
from tests.support.ports import free_port
from tests.unit.runtime.certificates import Authority, Pair, client_context, encrypt_key, write_server
from tests.unit.runtime.server_thread import ServerThread

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explainer.__main__ import parse_arguments
from modelservice_pipeline.explainer.server import Explainer, Settings
from modelservice_pipeline.explainer.tls import Files, ServerTls
from modelservice_runtime.settings.security import SecuritySettings, TlsSettings

AUTHORITY, OTHER = Authority(), Authority("other")
OWN, NEXT, FOREIGN = AUTHORITY.issue("own"), AUTHORITY.issue("next"), OTHER.issue("foreign")
DOCUMENT = {"instances": [[1, 2, 3, 4]], "background": [[0, 0, 0, 0]]}


def write_secret(folder: Path, pair: Pair, authority: bytes | None = None) -> Files:
    """What the volume of an explainer's pod has; an authority only where the Secret has one."""
    folder.mkdir(exist_ok=True)
    settings = write_server(folder, pair)
    if authority is not None:
        (folder / "ca.crt").write_bytes(authority)
    return Files(settings.certificate, settings.key, folder / "ca.crt")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_secret(tmp_path / "explainer", OWN)


def test_the_process_speaks_tls_on_both_sides(files: Files, model_files: dict[str, Path]) -> None:
    security = SecuritySettings(tls=TlsSettings(files.certificate, files.key))
    with ServerThread({"mlp": model_files["mlp"]}, security=security) as model:
        port = free_port()
        command = [
            *(sys.executable, "-m", "modelservice_pipeline.explainer", "--host", "127.0.0.1"),
            *("--port", str(port), "--url", f"https://127.0.0.1:{model.port}/v2/models/mlp"),
            *("--tls-cert", files.certificate, "--tls-key", files.key, "--ca-file", files.authority),
            *("--drain-delay-seconds", "0"),
        ]
        with subprocess.Popen(command) as process:
            try:
                wait_until(lambda: ask(port, "GET", "/v2/health/ready")[0] == 200, "the explainer is ready")
                status, answer = ask(port, "POST", "/v1/models/mlp:explain", json.dumps(DOCUMENT))
                assert status == 200, answer
                assert answer["explanations"][0]["method"] == "lime"
                process.send_signal(signal.SIGTERM)
                assert process.wait(120) == 0
            finally:
                process.kill()


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
    """Ask by TLS alone, trusting the authority; 0 where nobody answers."""
    context = client_context(AUTHORITY)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.load(response)
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("shown", "authority", "status"),
    [
        (OWN, None, 200),
        (OWN, b"", 200),
        (OWN, AUTHORITY.certificate, 200),
        (NEXT, AUTHORITY.certificate, 200),
        (NEXT, None, 503),
        (FOREIGN, AUTHORITY.certificate, 503),
    ],
    ids=["pinned", "empty-authority", "with-authority", "changed", "changed-without-authority", "foreign"],
)
async def test_the_model_is_asked_only_where_its_certificate_is_the_known_one(
    tmp_path: Path, model_files: dict[str, Path], shown: Pair, authority: bytes | None, status: int
) -> None:
    files = write_secret(tmp_path / "explainer", OWN, authority)
    model = write_secret(tmp_path / "model", shown)
    security = SecuritySettings(tls=TlsSettings(model.certificate, model.key))
    with ServerThread({"mlp": model_files["mlp"]}, security=security) as running:
        settings = Settings(f"https://127.0.0.1:{running.port}/v2/models/mlp", "exact", files)
        async with TestClient(TestServer(Explainer(settings).make_application())) as client:
            answer = await client.post("/v1/models/mlp:explain", json=DOCUMENT)
            assert answer.status == status, await answer.text()
            if status != 200:
                assert "is not trusted" in (await answer.json())["error"]


def shown_by(tls: ServerTls) -> bytes:
    """Return the certificate that a new connection sees."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with tls.context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            socket.create_connection(listener.getsockname()) as plain,
            client_context(AUTHORITY).wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            found = connection.getpeercert(binary_form=True)
            connection.sendall(b"x")
        thread.join()
    return ssl.DER_cert_to_PEM_cert(found or b"").encode()


def test_a_new_certificate_is_shown_and_one_that_cannot_be_used_is_not(files: Files) -> None:
    tls = ServerTls(files)
    assert shown_by(tls) == OWN.certificate
    write_secret(files.key.parent, NEXT)
    tls.reload()
    assert shown_by(tls) == NEXT.certificate
    write_secret(files.key.parent, Pair(OWN.certificate, NEXT.key))
    with pytest.raises(PipelineError, match="cannot use the certificate"):
        tls.reload()
    assert shown_by(tls) == NEXT.certificate
    write_secret(files.key.parent, OWN)
    tls.reload()
    assert shown_by(tls) == OWN.certificate


@pytest.mark.parametrize(
    ("certificate", "key", "sentence"),
    [
        (b"no PEM", OWN.key, "cannot use the certificate"),
        (OWN.certificate, encrypt_key(OWN), "encrypted: store it without a passphrase"),
        (OWN.certificate, b"", "cannot use the certificate"),
    ],
)
def test_files_that_cannot_be_used_are_told(
    files: Files, certificate: bytes, key: bytes, sentence: str
) -> None:
    files.certificate.write_bytes(certificate)
    files.key.write_bytes(key)
    with pytest.raises(PipelineError, match=sentence):
        ServerTls(files)


def test_flags_of_tls_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--url", "https://a/v2/models/b", "--tls-cert", "a.crt"])
    assert "go together" in capsys.readouterr().err
