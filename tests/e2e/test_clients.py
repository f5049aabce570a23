"""The clients in Python, Java and C++ against `modelservice serve`: plain, with a key, with certificates."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate
from hack.cluster.packages import ensure_packages
from tests.support.ports import free_port
from tests.support.serve_command import COMMAND, serving
from tests.support.tiny_models import make_word_finder
from tests.unit.runtime.certificates import Authority, Pair
from tests.unit.runtime.protocols.openai.test_vectors import save_encoder

EXAMPLE = Path(__file__).parents[2] / "examples/15-clients"
PROGRAMS = {
    "g++": "g++",
    "/usr/include/x86_64-linux-gnu/curl/curl.h": "libcurl4-openssl-dev",
    "javac": "openjdk-17-jdk-headless",
}
LANGUAGES = ("python", "java", "cpp")
TEXTS = ("see you at nöön", "", "you won a prize", "日本 🙂")
ANSWERS = [f"{'spam 1.000' if 'prize' in text else 'ham 0.000'} {text}".rstrip(" ") for text in TEXTS]
# Compilers, on a busy machine.
pytestmark = pytest.mark.timeout(600)

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Secured:
    """A server that asks for a key and a certificate, and what a client needs for it."""

    url: str
    key: str
    folder: Path

    def options(self, language: str, *, certificate: bool = True) -> list[str]:
        found = ["--url", self.url, "--ca", str(self.folder / "ca.pem")]
        if not certificate:
            return found
        if language == "java":
            return [*found, "--identity", str(self.folder / "client.p12"), "--password", "secret"]
        return [*found, "--cert", str(self.folder / "client.pem"), "--key", str(self.folder / "client.key")]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """How each client is started; built with every warning as an error."""
    ensure_packages(PROGRAMS)
    folder = tmp_path_factory.mktemp("clients")
    program = str(folder / "client")
    flags = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    compile_with("g++", *flags, str(EXAMPLE / "cpp/client.cpp"), "-o", program, "-lcurl")
    compile_with(
        "javac",
        "--release",
        "17",
        "-Xlint:all",
        "-Werror",
        "-d",
        str(folder),
        str(EXAMPLE / "java/Client.java"),
    )
    return {
        "python": [sys.executable, "-W", "error", str(EXAMPLE / "python/client.py")],
        "java": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", str(folder), "Client"],
        "cpp": [program],
    }


def compile_with(*command: str) -> None:
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(commands: dict[str, list[str]], language: str) -> Run:
    def run(*arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "MODELSERVICE_API_KEY"}
        if key is not None:
            environment["MODELSERVICE_API_KEY"] = key
        environment["LC_ALL"] = "C.UTF-8"
        return subprocess.run(
            [*commands[language], *arguments],
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(make_word_finder("prize"))
    return path


@pytest.fixture(scope="module")
def plain(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    encoder = save_encoder(tmp_path_factory.mktemp("encoder") / "encoder.onnx")
    with serving("--model", f"spam={model}", "--model", f"encoder={encoder}") as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def secured(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.certificate)
    certificate, key = authority.issue("server").write(folder, "server")
    write_client(folder, authority.issue("client"))
    made = subprocess.run(
        [COMMAND, "api-key", "new", "me", "--file", folder / "keys.txt"],
        capture_output=True,
        text=True,
        check=True,
    )
    files = ("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", folder / "ca.pem")
    with serving("--model", f"spam={model}", "--api-key-file", folder / "keys.txt", *files, tls=True) as (
        _,
        port,
    ):
        yield Secured(f"https://127.0.0.1:{port}", made.stdout.split()[-1], folder)


def write_client(folder: Path, pair: Pair) -> None:
    pair.write(folder, "client")
    store = pkcs12.serialize_key_and_certificates(
        b"client",
        serialization.load_pem_private_key(pair.key, None),  # type: ignore[arg-type]
        load_pem_x509_certificate(pair.certificate),
        None,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (folder / "client.p12").write_bytes(store)


def test_sources_stay_short() -> None:
    for file in ("python/client.py", "java/Client.java", "cpp/client.cpp"):
        assert len((EXAMPLE / file).read_text(encoding="utf-8").splitlines()) < 150, file


def test_answers_come_in_order(run: Run, plain: str) -> None:
    result = run("--url", plain, *TEXTS)
    assert result.returncode == 0, result.stderr
    assert [line.rstrip(" ") for line in result.stdout.splitlines()[-len(TEXTS) :]] == ANSWERS
    assert "probability" in result.stdout.splitlines()[0] + result.stdout.splitlines()[2]


def test_key_and_certificate_open_the_server(run: Run, secured: Secured, language: str) -> None:
    result = run(*secured.options(language), *TEXTS, key=secured.key)
    assert result.returncode == 0, result.stderr
    assert [line.rstrip(" ") for line in result.stdout.splitlines()[-len(TEXTS) :]] == ANSWERS


def test_refusals_are_told_in_the_words_of_the_server(
    run: Run, plain: str, secured: Secured, language: str
) -> None:
    unknown = run("--url", plain, "--model", "other", "text")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "404" in unknown.stderr
    assert "model 'other' is unknown" in unknown.stderr
    vectors = run("--url", plain, "--model", "encoder", "text")
    assert vectors.returncode == 1
    assert "2 outputs are requested; the model has 1" in vectors.stderr
    wrong = run(*secured.options(language), "text", key="wrong")
    assert wrong.returncode == 1
    assert "401" in wrong.stderr


@pytest.mark.parametrize("what", ["no authority", "no certificate", "no server"])
def test_no_connection_ends_with_a_sentence(run: Run, secured: Secured, language: str, what: str) -> None:
    arguments = {
        "no authority": ["--url", secured.url],
        "no certificate": secured.options(language, certificate=False),
        "no server": ["--url", f"http://127.0.0.1:{free_port()}"],
    }[what]
    result = run(*arguments, "text", key=secured.key)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert "Exception in" not in result.stderr


class Busy(BaseHTTPRequestHandler):
    """Says twice that it is busy, then what a proxy might."""

    protocol_version = "HTTP/1.1"
    asked: int

    def do_GET(self) -> None:
        type(self).asked += 1
        status, body = (429, b'{"error": "busy"}') if self.asked <= 2 else (502, b"<html>bad gateway</html>")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_busy_server_is_asked_again_and_a_proxy_may_answer_anything(run: Run) -> None:
    handler = type("Handler", (Busy,), {"asked": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            result = run("--url", f"http://127.0.0.1:{server.server_port}", "text")
        finally:
            server.shutdown()
    assert result.returncode == 1
    assert "502" in result.stderr
    assert "bad gateway" in result.stderr
    assert handler.asked == 3
