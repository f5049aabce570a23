"""Who may ask what: every endpoint of every protocol, with every kind of credential.

The guard stands in front of the whole application, so this also holds for routes that do not exist yet; the
walk over the endpoints proves that none got around it.
"""

import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.unit.runtime.auth import signed_tokens
from tests.unit.runtime.auth.signed_tokens import ALL_KEYS, sign
from tests.unit.runtime.server_thread import ServerThread, read_answer, read_until_closed

from modelservice_runtime.auth.api_keys import api_key_line, new_api_key
from modelservice_runtime.protocols.oip.routes import METHODS, ROUTES, Endpoint
from modelservice_runtime.protocols.openapi.operations import DOCUMENT_PATH
from modelservice_runtime.protocols.tfs.routes import TFS_METHODS, TFS_ROUTES, TfsEndpoint
from modelservice_runtime.settings.security import JwtSettings, SecuritySettings

KEY = new_api_key()

OPEN = {"/", "/v2/health/live", "/v2/health/ready"}
OPEN_GRPC = {
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
}


def paths() -> Iterator[tuple[str, str]]:
    """A method and a path of every route of every protocol."""
    for template, endpoint in ROUTES:
        yield METHODS[endpoint][0].decode(), template
    for template, tfs_endpoint in TFS_ROUTES:
        yield TFS_METHODS[tfs_endpoint][0].decode(), template
    yield "GET", DOCUMENT_PATH


def example(template: str) -> str:
    return re.sub(r"{\w+}", "1", template.replace("{model}", "mlp"))


PATHS = [(method, example(template)) for method, template in paths()]

CREDENTIALS: dict[str, tuple[dict[str, str], int | None]] = {
    "none": ({}, 401),
    "bearer key": ({"Authorization": f"Bearer {KEY}"}, None),
    "x-api-key": ({"X-Api-Key": KEY}, None),
    "token": ({"Authorization": f"Bearer {sign(scope='infer').decode()}"}, None),
    "wrong key": ({"X-Api-Key": KEY + "x"}, 401),
    "expired token": ({"Authorization": f"Bearer {sign(exp=1).decode()}"}, 401),
    "token without the scope": ({"Authorization": f"Bearer {sign().decode()}"}, 403),
}


@pytest.fixture(scope="module")
def guarded(model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A server that wants an API key, or a token with the scope infer."""
    directory = tmp_path_factory.mktemp("keys")
    (directory / "keys").write_text(api_key_line("alice", KEY))
    (directory / "jwks").write_bytes(ALL_KEYS)
    tokens = JwtSettings(directory / "jwks", signed_tokens.ISSUER, signed_tokens.AUDIENCE, ("infer",))
    security = SecuritySettings(api_key_file=directory / "keys", jwt=tokens)
    with ServerThread({"mlp": model_files["mlp"]}, security=security) as running:
        yield running


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_path_is_open_to_whom_the_policy_says(
    guarded: ServerThread, method: str, path: str, credential: str
) -> None:
    headers, refused = CREDENTIALS[credential]
    answer = guarded.request(method, path, {} if method == "POST" else None, headers)
    if refused is None or path in OPEN:
        assert answer.status not in (401, 403)
    else:
        assert answer.status == refused
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert set(answer.json()) == {"error"}


def test_every_endpoint_is_among_the_paths() -> None:
    assert {endpoint for _, endpoint in ROUTES} == set(Endpoint)
    assert {endpoint for _, endpoint in TFS_ROUTES} == set(TfsEndpoint)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_grpc_method_is_open_to_whom_the_policy_says(guarded: ServerThread, credential: str) -> None:
    headers, refused = CREDENTIALS[credential]
    metadata = [(name.lower(), value) for name, value in headers.items()]
    statuses = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}
    with grpc.insecure_channel(f"127.0.0.1:{guarded.grpc_port}") as channel:
        for path in guarded.grpc_paths:
            is_open = refused is None or path in OPEN_GRPC
            # A watch that is let in never ends by itself.
            timeout = 0.2 if path.endswith("/Watch") and is_open else 20
            status = channel.unary_unary(path).future(b"", metadata=metadata, timeout=timeout).code()
            if is_open:
                assert status not in statuses.values(), path
            else:
                assert status is statuses[refused], path
    assert set(guarded.grpc_paths) > OPEN_GRPC


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "/nothing",
        "/openapi.json",
        "/v2/health/live/",
        "/v2/health/%6Cive",
        "/v2//health/live",
        "/v2/health/live#x",
        "/v2/health/live#?",
        "/v2/health/live/../../models/mlp",
        "/v2/models",
        "/v1/models",
        "/v2/models/mlp?/v2/health/live",
        "http://a/v2/health/live",
        "*",
    ],
)
def test_any_other_spelling_of_an_open_path_needs_a_key(guarded: ServerThread, path: str) -> None:
    with guarded.connect() as connection:
        connection.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        assert read_answer(connection)[0] == 401


@pytest.mark.parametrize("query", ["", "?", "?x=1", "?verbose", "?a=/../v2&b#c"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", sorted(OPEN))
def test_probe_needs_no_key_whatever_its_query(
    guarded: ServerThread, path: str, method: str, query: str
) -> None:
    assert guarded.request(method, path + query).status == 200


def test_health_check_and_watch_need_no_key(guarded: ServerThread) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{guarded.grpc_port}") as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=120) == b"\x08\x01"
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=120)
        assert next(watch) == b"\x08\x01"
        watch.cancel()


@pytest.mark.parametrize("path", sorted(OPEN_GRPC))
@pytest.mark.parametrize("timeout", [None, 20])
def test_open_call_takes_no_large_message(guarded: ServerThread, path: str, timeout: int | None) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{guarded.grpc_port}") as channel:
        call = channel.unary_stream(path)(b"\x0a\xfe\x07" + b"a" * 1022, timeout=timeout)
        with pytest.raises(grpc.RpcError) as error:
            list(call)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_refused_client_keeps_its_connection_and_may_try_again(guarded: ServerThread) -> None:
    with guarded.connect() as connection:
        for header, status in ((b"", 401), (b"X-Api-Key: " + KEY.encode() + b"\r\n", 200)):
            connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n")
            assert read_answer(connection)[0] == status


def test_repeated_header_is_not_a_way_around(guarded: ServerThread) -> None:
    with guarded.connect() as connection:
        both = b"X-Api-Key: wrong\r\nX-Api-Key: " + KEY.encode() + b"\r\n"
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + both + b"\r\n")
        assert read_answer(connection)[0] == 401


def test_server_without_settings_asks_nobody(server: ServerThread) -> None:
    assert server.request("GET", "/v2").status == 200


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 10000000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 70000\r\nExpect: 100-continue\r\n",
    ],
)
@pytest.mark.parametrize("header", [b"", b"X-Api-Key: wrong\r\n"])
def test_body_of_a_stranger_is_not_even_read(guarded: ServerThread, framing: bytes, header: bytes) -> None:
    with guarded.connect() as connection:
        connection.sendall(b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\n" + header + framing + b"\r\n")
        assert read_answer(connection)[0] == 401
        assert read_until_closed(connection) == b""


@pytest.mark.parametrize("path", [*sorted(OPEN), "/v2/health/live?x=1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 67108864", b"Content-Length: 16000", b"Transfer-Encoding: chunked"]
)
def test_open_path_takes_no_body(guarded: ServerThread, path: str, method: str, framing: bytes) -> None:
    with guarded.connect() as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n".encode()
        connection.sendall(head + framing + b"\r\nX-Api-Key: " + KEY.encode() + b"\r\n\r\n")
        assert read_answer(connection)[0] == 413
        assert read_until_closed(connection) == b""
    assert guarded.server.buffers.held_bytes == 0


def test_small_body_of_a_stranger_that_does_not_come_with_its_head_is_not_waited_for(
    guarded: ServerThread,
) -> None:
    with guarded.connect() as connection:
        connection.sendall(
            b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b" " * 999
        )
        assert read_answer(connection)[0] == 401
        assert read_until_closed(connection) == b""


def test_small_body_of_a_client_may_come_in_pieces(guarded: ServerThread) -> None:
    key = b"X-Api-Key: " + KEY.encode() + b"\r\n"
    with guarded.connect() as connection:
        for _ in range(2):  # the head is known the second time
            connection.sendall(
                b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n" + key + b"\r\n{"
            )
            guarded.request("GET", "/")  # by then the first piece has been read
            connection.sendall(b" ")
            guarded.request("GET", "/")
            connection.sendall(b" }")
            assert read_answer(connection)[0] == 400


def test_stream_ends_when_its_key_is_revoked(model_files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(api_key_line("alice", KEY))
    access = SecuritySettings(api_key_file=tmp_path / "keys")
    requests: queue.Queue[bytes | None] = queue.Queue()
    with (
        ServerThread({"mlp": model_files["mlp"]}, security=access) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        method = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        answers = method(iter(requests.get, None), metadata=[("x-api-key", KEY)], timeout=120)
        for _ in range(3):
            requests.put(b"\x0a\x01m")
            next(answers)  # an error that ends no stream: there is no such model
        (tmp_path / "keys").write_text(api_key_line("bob", new_api_key()))
        done = threading.Event()
        server.loop.call_soon_threadsafe(lambda: (server.poll_files(), done.set()))
        assert done.wait(120)
        requests.put(b"\x0a\x01m")
        with pytest.raises(grpc.RpcError) as error:
            next(answers)
        requests.put(None)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("tensors", [b"", b"Inference-Header-Content-Length: 2\r\n"])
def test_key_that_is_revoked_opens_no_known_head_to_a_large_body(
    model_files: dict[str, Path], tmp_path: Path, tensors: bytes
) -> None:
    """The same head was admitted before, so its bytes are known; its key is not good any more."""
    (tmp_path / "keys").write_text(api_key_line("alice", KEY))
    access = SecuritySettings(api_key_file=tmp_path / "keys")
    head = b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n" + tensors
    head += b"X-Api-Key: " + KEY.encode() + b"\r\n\r\n"
    with ServerThread({"mlp": model_files["mlp"]}, security=access) as server, server.connect() as connection:
        for _ in range(3):
            connection.sendall(head + b"{}" + b" " * 999_998)
            assert read_answer(connection)[0] == 400
        (tmp_path / "keys").write_text(api_key_line("bob", new_api_key()))
        done = threading.Event()
        server.loop.call_soon_threadsafe(lambda: (server.poll_files(), done.set()))
        assert done.wait(120)
        connection.sendall(head + b"{}" + b" " * 200_000)
        assert read_answer(connection)[0] == 401
        assert read_until_closed(connection) in (b"", b"<reset>")


def test_large_body_of_a_client_is_read(guarded: ServerThread) -> None:
    answer = guarded.request("POST", "/v2/models/mlp/infer", b" " * 200_000, {"X-Api-Key": KEY})
    assert answer.status == 400
