"""Registries that are slow, break off, lead elsewhere and lie; each a small real server on loopback."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci import connection
from modelservice_pipeline.oci.access import Access
from modelservice_pipeline.oci.content import Blob, blob_of_bytes
from modelservice_pipeline.oci.reference import parse_reference
from modelservice_pipeline.oci.registry import PUSH, Repository

DATA = bytes(range(256)) * 9000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by the function that a test gave for a method; remembers requests and bodies."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def _dispatch(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        if self.path == "/v2/":
            self.answer(200)
            return
        self.server.answers[self.command](self)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _dispatch  # noqa: N815 - the names of http.server

    def answer(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = length is not None

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    # Clients keep their connections for as long as they like.
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    def repository(self, **access: int) -> Repository:
        return Repository(parse_reference(f"127.0.0.1:{self.server_port}/spam:1"), Access(**access), PUSH)

    def requests(self, method: str) -> list[tuple[str, str, dict[str, str], bytes]]:
        return [one for one in self.asked if one[0] == method and one[1] != "/v2/"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Server]:
    monkeypatch.setattr(connection, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_open_blob_goes_on_where_it_broke(server: Server) -> None:
    def get(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        rest = DATA[start:]
        handler.answer(206 if start else 200, rest[: len(DATA) // 2 + 1], len(rest))

    server.answers["GET"] = get
    assert b"".join(server.repository().open_blob(DIGEST)) == DATA
    assert len(server.requests("GET")) == 2


def test_open_blob_of_a_registry_without_ranges_skips_what_it_has(server: Server) -> None:
    def get(handler: Handler) -> None:
        broken = len(server.requests("GET")) < 3
        handler.answer(200, DATA[: len(DATA) // 2] if broken else DATA, len(DATA))

    server.answers["GET"] = get
    assert b"".join(server.repository().open_blob(DIGEST)) == DATA


def test_open_blob_that_always_breaks_gives_up(server: Server) -> None:
    server.answers["GET"] = lambda handler: handler.answer(200, b"", len(DATA))
    with pytest.raises(PipelineError, match="broke off"):
        list(server.repository().open_blob(DIGEST))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_read_document_tries_again_where_it_may_help(server: Server, status: int) -> None:
    body = json.dumps({"layers": []}).encode()

    def get(handler: Handler) -> None:
        first = len(server.requests("GET")) == 1
        handler.answer(status if first else 200, b"" if first else body, Retry_After="0")

    server.answers["GET"] = get
    assert server.repository().read_document("1").body == body


def test_read_document_that_stays_away_says_what_the_registry_said(server: Server) -> None:
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}).encode()
    server.answers["GET"] = lambda handler: handler.answer(429, body)
    with pytest.raises(PipelineError, match="TOOMANYREQUESTS: slow down"):
        server.repository().read_document("1")
    assert len(server.requests("GET")) == 5


def test_read_document_other_than_its_digest_is_refused(server: Server) -> None:
    server.answers["GET"] = lambda handler: handler.answer(200, b"{}")
    with pytest.raises(PipelineError, match="with a document of"):
        server.repository().read_document(DIGEST)


def test_read_document_endless_is_not_read(server: Server) -> None:
    server.answers["GET"] = lambda handler: handler.answer(200, b" " * (5 << 20))
    with pytest.raises(PipelineError, match="more than"):
        server.repository().read_document("1")


def test_open_blob_shows_the_login_to_no_other_host(server: Server, monkeypatch) -> None:
    monkeypatch.setenv("MODELSERVICE_REGISTRY_USERNAME", "anna")
    monkeypatch.setenv("MODELSERVICE_REGISTRY_PASSWORD", "hunter22")
    with Server() as storage:
        thread = threading.Thread(target=storage.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        storage.answers["GET"] = lambda handler: handler.answer(200, DATA)

        def get(handler: Handler) -> None:
            if "Authorization" not in handler.headers:
                handler.answer(401, WWW_Authenticate='Basic realm="test"')
            else:
                handler.answer(307, Location=f"http://127.0.0.1:{storage.server_port}/data")

        server.answers["GET"] = get
        assert b"".join(server.repository().open_blob(DIGEST)) == DATA
        storage.shutdown()
        thread.join()
    assert "Authorization" in server.requests("GET")[1][2]
    assert ["Authorization" in one[2] for one in storage.asked] == [False]


def uploads(server: Server, put: Answer) -> None:
    # Behind a forward it names an address of its own.
    server.answers["POST"] = lambda handler: handler.answer(
        202, Location="https://registry.invalid/v2/spam/blobs/uploads/1?state=a%2Bb"
    )
    server.answers["PATCH"] = lambda handler: handler.answer(202, Location="/v2/spam/blobs/uploads/1?state=c")
    server.answers["PUT"] = put


def blob() -> Blob:
    return blob_of_bytes("application/octet-stream", DATA)


def test_write_blob_uploads_to_this_registry_whatever_it_calls_itself(server: Server) -> None:
    uploads(server, lambda handler: handler.answer(201))
    server.repository().write_blob(blob(), blob().read)
    ((_, path, headers, body),) = server.requests("PUT")
    assert path == f"/v2/spam/blobs/uploads/1?state=a%2Bb&digest={DIGEST.replace(':', '%3A')}"
    assert (body, headers["Content-Length"]) == (DATA, str(len(DATA)))


def test_write_blob_in_chunks_follows_each_location(server: Server) -> None:
    uploads(server, lambda handler: handler.answer(201))
    server.repository(chunk_bytes=1_000_000).write_blob(blob(), blob().read)
    parts = server.requests("PATCH")
    assert b"".join(part[3] for part in parts) == DATA
    ranges = [part[2]["Content-Range"] for part in parts]
    assert ranges == ["0-999999", "1000000-1999999", "2000000-2303999"]
    assert ["state=c" in part[1] for part in parts] == [False, True, True]


def test_write_blob_begins_anew_after_a_failure(server: Server) -> None:
    uploads(server, lambda handler: handler.answer(500 if len(server.requests("PUT")) == 1 else 201))
    server.repository().write_blob(blob(), blob().read)
    assert [one[3] for one in server.requests("PUT")] == [DATA, DATA]
    assert len(server.requests("POST")) == 2


def test_write_blob_too_large_for_a_proxy_names_the_remedy(server: Server) -> None:
    uploads(server, lambda handler: handler.answer(413))
    with pytest.raises(PipelineError, match="--chunk-size"):
        server.repository().write_blob(blob(), blob().read)


def test_registry_without_tls_elsewhere_needs_the_flag(monkeypatch) -> None:
    # An address of documentation: nobody is asked there, for the scheme is not looked for.
    reference = parse_reference("192.0.2.1:5000/spam:1")
    asked: list[object] = []
    monkeypatch.setattr(connection.Connection, "_find_scheme", lambda one: asked.append(one) or "http")
    assert connection.Connection(reference, Access()).scheme == "https"
    assert asked == []
    assert connection.Connection(reference, Access(plain_http=True)).scheme == "http"
