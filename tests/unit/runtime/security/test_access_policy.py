"""Who may ask what: every endpoint of every protocol, with every kind of credential.

The guard stands in front of the whole application, so this also holds for routes that do not exist yet; the
walk over the endpoints proves that none got around it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.runtime.security import signed_tokens
from tests.unit.runtime.security.signed_tokens import ALL_KEYS, sign
from tests.unit.runtime.server_thread import ServerThread, read_answer

from modelservice_runtime.security_settings import JwtSettings, SecuritySettings
from modelservice_runtime.server.auth.api_keys import api_key_line, new_api_key
from modelservice_runtime.server.routes import METHODS, Endpoint, match_route
from modelservice_runtime.server.routing import split_target
from modelservice_runtime.server.tfs.routes import TFS_METHODS, TfsEndpoint, match_tfs_route

KEY = new_api_key()

PATHS: dict[Endpoint, str] = {
    Endpoint.SERVER_METADATA: "/v2",
    Endpoint.LIVE: "/v2/health/live",
    Endpoint.READY: "/v2/health/ready",
    Endpoint.MODEL_METADATA: "/v2/models/mlp",
    Endpoint.MODEL_READY: "/v2/models/mlp/ready",
    Endpoint.MODEL_CONFIG: "/v2/models/mlp/config",
    Endpoint.MODEL_STATISTICS: "/v2/models/stats",
    Endpoint.INFER: "/v2/models/mlp/infer",
    Endpoint.GENERATE: "/v2/models/mlp/generate",
    Endpoint.REPOSITORY_INDEX: "/v2/repository/index",
    Endpoint.MODEL_CONTROL: "/v2/repository/models/mlp/load",
    Endpoint.SHARED_MEMORY: "/v2/systemsharedmemory/status",
}
TFS_PATHS: dict[TfsEndpoint, str] = {
    TfsEndpoint.STATUS: "/v1/models/mlp",
    TfsEndpoint.METADATA: "/v1/models/mlp/metadata",
    TfsEndpoint.PREDICT: "/v1/models/mlp:predict",
    TfsEndpoint.CLASSIFY: "/v1/models/mlp:classify",
    TfsEndpoint.REGRESS: "/v1/models/mlp:regress",
}
OPEN = {Endpoint.LIVE, Endpoint.READY}

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
    tokens = JwtSettings(directory / "jwks", signed_tokens.ISSUER, signed_tokens.AUDIENCE, "infer")
    security = SecuritySettings(api_key_file=directory / "keys", jwt=tokens)
    with ServerThread({"mlp": model_files["mlp"]}, security=security) as running:
        yield running


def test_every_endpoint_has_a_path_here() -> None:
    assert set(PATHS) == set(Endpoint)
    assert set(TFS_PATHS) == set(TfsEndpoint)
    for endpoint, path in PATHS.items():
        route = match_route(split_target(path.encode()) or ())
        assert route is not None
        assert route.endpoint is endpoint
    for tfs_endpoint, path in TFS_PATHS.items():
        tfs_route = match_tfs_route(split_target(path.encode()) or ())
        assert tfs_route is not None
        assert tfs_route.endpoint is tfs_endpoint


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("endpoint", [*Endpoint, *TfsEndpoint])
def test_endpoint_is_open_to_whom_the_policy_says(
    guarded: ServerThread, endpoint: Endpoint | TfsEndpoint, credential: str
) -> None:
    headers, refused = CREDENTIALS[credential]
    if isinstance(endpoint, TfsEndpoint):
        path, methods = TFS_PATHS[endpoint], TFS_METHODS[endpoint]
    else:
        path, methods = PATHS[endpoint], METHODS[endpoint]
    method = methods[0].decode()
    answer = guarded.request(method, path, {} if method == "POST" else None, headers)
    if refused is None or endpoint in OPEN:
        assert answer.status not in (401, 403)
    else:
        assert answer.status == refused
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "/openapi.json",
        "/v2/health/live/",
        "/v2/health/%6Cive",
        "/v2//health/live",
        "/v2/health/live?x",
        "*",
    ],
)
def test_any_other_spelling_of_an_open_path_needs_a_key(guarded: ServerThread, path: str) -> None:
    assert guarded.request("GET", path).status == 401


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
