"""A push against a small real registry on loopback."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hack.cluster.errors import ClusterError
from hack.cluster.registry import MANIFEST_TYPE, Registry

MODEL = b"not really a model"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


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
        is_blob = self.path.rpartition("/")[2] in self.server.blobs
        self._answer(200 if is_blob or self.path in self.server.manifests else 404)

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


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    return path


def test_push_model_stores_blobs_and_a_manifest_that_names_them(server: RegistryServer, model: Path) -> None:
    pushed, digest = Registry(server.url).push_model("models/spam", "1", model)

    stored = server.manifests["/v2/models/spam/manifests/1"]
    (layer,) = json.loads(stored)["layers"]
    assert layer == pushed
    assert digest == digest_of(stored)
    assert (layer["digest"], layer["size"]) == (digest_of(MODEL), len(MODEL))
    assert layer["annotations"] == {
        "org.cncf.model.filepath": "model.onnx",
        "org.opencontainers.image.title": "model.onnx",
    }
    (config,) = set(server.blobs.values()) - {MODEL}
    assert json.loads(config)["modelfs"] == {"type": "layers", "diffIds": [digest_of(MODEL)]}


def test_push_model_twice_gives_the_same_digest(server: RegistryServer, model: Path) -> None:
    registry = Registry(server.url)

    assert registry.push_model("models/spam", "1", model) == registry.push_model("models/spam", "1", model)


def test_has_tells_pushed_from_absent(server: RegistryServer, model: Path) -> None:
    registry = Registry(server.url)

    assert not registry.has("models/spam", "1")
    registry.push_model("models/spam", "1", model)
    assert registry.has("models/spam", "1")


def test_push_model_with_prefix_goes_below_it(server: RegistryServer, model: Path) -> None:
    Registry(server.url, prefix="models/").push_model("spam", "1", model)

    assert "/v2/models/spam/manifests/1" in server.manifests


def test_push_model_refused_says_so(server: RegistryServer, model: Path) -> None:
    with pytest.raises(ClusterError, match=r"answered PUT .* with status 400"):
        Registry(server.url).push_model("other/repository", "1", model)


def test_push_model_no_registry_says_which(server: RegistryServer, model: Path) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(ClusterError, match=f"the registry {url} does not answer"):
        Registry(url).push_model("models/spam", "1", model)
