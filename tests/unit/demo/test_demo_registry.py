"""A push against a small real registry on loopback."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hack.demo.errors import DemoError
from hack.demo.registry import MANIFEST_TYPE, Registry, digest_of

MODEL = b"not really a model"


class RegistryHandler(BaseHTTPRequestHandler):
    """Keeps blobs and manifests in the server's dictionaries; checks digests as a registry does."""

    server: "RegistryServer"

    def _answer(self, status: int, location: str | None = None) -> None:
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def do_HEAD(self) -> None:
        self._answer(200 if self.path in self.server.manifests else 404)

    def do_POST(self) -> None:
        # Absolute, under a name that this client cannot reach: as behind a forward.
        self._answer(202, f"http://registry.invalid{self.path}session?_state=a%2Bb")

    def do_PUT(self) -> None:
        body = self._body()
        if match := re.fullmatch(
            r"/v2/models/spam/blobs/uploads/session\?_state=a%2Bb&digest=(.+)", self.path
        ):
            right = match[1].replace("%3A", ":") == digest_of(body)
            self.server.blobs[digest_of(body)] = body
            self._answer(201 if right else 400)
            return
        if "/manifests/" not in self.path:
            self._answer(400)
            return
        manifest = json.loads(body)
        known = all(
            self.server.blobs.get(part["digest"], b"")
            and part["size"] == len(self.server.blobs[part["digest"]])
            for part in (manifest["config"], *manifest["layers"])
        )
        self.server.manifests[self.path] = body
        self._answer(201 if known and self.headers["Content-Type"] == MANIFEST_TYPE else 400)

    def log_message(self, *args: object) -> None:
        pass


class RegistryServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RegistryHandler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_push_model_stores_blobs_and_a_manifest_that_names_them(server):
    digest = Registry(server.url).push_model("models/spam", "1", MODEL)
    stored = server.manifests["/v2/models/spam/manifests/1"]
    (layer,) = json.loads(stored)["layers"]
    assert digest == digest_of(stored)
    assert layer["digest"] == f"sha256:{hashlib.sha256(MODEL).hexdigest()}"
    assert layer["annotations"] == {"org.opencontainers.image.title": "model.onnx"}
    assert set(server.blobs.values()) == {MODEL, b"{}"}


def test_push_model_twice_gives_the_same_digest(server):
    registry = Registry(server.url)
    assert registry.push_model("models/spam", "1", MODEL) == registry.push_model("models/spam", "1", MODEL)


def test_has_tells_pushed_from_absent(server):
    registry = Registry(server.url)
    assert not registry.has("models/spam", "1")
    registry.push_model("models/spam", "1", MODEL)
    assert registry.has("models/spam", "1")


def test_push_model_refused_says_so(server):
    with pytest.raises(DemoError, match="refused a push with status 400"):
        Registry(server.url).push_model("other/repository", "1", MODEL)


def test_push_model_no_registry_says_which(server):
    url = server.url
    server.server_close()
    with pytest.raises(DemoError, match=f"the registry {url} does not answer"):
        Registry(url).push_model("models/spam", "1", MODEL)
