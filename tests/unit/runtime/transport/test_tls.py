"""TLS: what is negotiated, who is let in, and certificates that change while the server runs."""

import gc
import http.client
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.certificates import (
    Authority,
    Pair,
    client_context,
    encrypt_key,
    write_server,
)
from tests.unit.runtime.server_thread import ServerThread, read_answer, read_until_closed

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.settings.security import SecuritySettings, TlsSettings
from modelservice_runtime.transport import listener
from modelservice_runtime.transport.tls import HTTP_1_1, HTTP_2, build_context, load_tls

AUTHORITY = Authority()
OTHERS = Authority("others")
FIRST, SECOND, CLIENT, FOREIGN = (
    AUTHORITY.issue("first"), AUTHORITY.issue("second"), AUTHORITY.issue("client"), OTHERS.issue("foreign"),
)  # fmt: skip
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
METADATA = b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def secure(model_files: dict[str, Path], directory: Path) -> Iterator[ServerThread]:
    """A server with a certificate that asks clients for theirs."""
    settings = write_server(directory, FIRST, client_ca=AUTHORITY)
    models = {name: model_files[name] for name in ("mlp", "any")}
    with ServerThread(models, security=SecuritySettings(tls=settings)) as running:
        yield running


def connect(server: ServerThread, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(server.connect(), server_hostname="127.0.0.1")


def with_certificate(directory: Path, pair: Pair, *alpn: str) -> ssl.SSLContext:
    context = client_context(AUTHORITY, *alpn)
    context.load_cert_chain(*pair.write(directory, "client"))
    return context


def common_name(connection: ssl.SSLSocket) -> str:
    certificate: Any = connection.getpeercert()
    return str(dict(pair for entry in certificate["subject"] for pair in entry)["commonName"])


def test_client_with_a_certificate_is_served(secure: ServerThread, tmp_path: Path) -> None:
    with connect(secure, with_certificate(tmp_path, CLIENT, "http/1.1")) as connection:
        assert connection.version() in ("TLSv1.2", "TLSv1.3")
        assert connection.selected_alpn_protocol() == "http/1.1"
        for _ in range(2):
            connection.sendall(METADATA)
            assert read_answer(connection)[0] == 200


def test_client_without_a_certificate_reaches_the_probes_only(secure: ServerThread) -> None:
    with connect(secure, client_context(AUTHORITY)) as connection:
        for request, status in ((LIVE, 200), (METADATA, 401), (LIVE, 200)):
            connection.sendall(request)
            assert read_answer(connection)[0] == status


def test_client_with_a_foreign_certificate_is_refused(secure: ServerThread, tmp_path: Path) -> None:
    with connect(secure, with_certificate(tmp_path, FOREIGN)) as connection:
        # In TLS 1.3 the client believes the handshake done before the server has seen its certificate.
        try:
            connection.sendall(LIVE)
            answer = read_until_closed(connection)
        except (ssl.SSLError, ConnectionError):
            answer = b"<reset>"
        assert answer in (b"", b"<reset>")


def test_old_protocol_versions_are_refused(secure: ServerThread) -> None:
    context = client_context(AUTHORITY)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(secure, context)


@pytest.mark.parametrize("greeting", [LIVE, b"\x16\x03\x01\xff\xff" + bytes(100), b"\x00" * 1000])
def test_client_without_tls_is_cut_off_and_others_served(secure: ServerThread, greeting: bytes) -> None:
    with secure.connect() as plain:
        plain.sendall(greeting)
        if greeting[0] != 0x16:
            assert b"HTTP/" not in read_until_closed(plain)
        with connect(secure, client_context(AUTHORITY)) as connection:
            connection.sendall(LIVE)
            assert read_answer(connection)[0] == 200


def test_large_bodies_and_answers_pass_whole(secure: ServerThread, tmp_path: Path) -> None:
    tensor = b'{"name":"x","shape":[1000,1000],"datatype":"FP32","parameters":{"binary_data_size":4000000}}'
    head = b'{"inputs":[' + tensor + b'],"parameters":{"binary_data_output":true}}'
    headers = {"Inference-Header-Content-Length": str(len(head))}
    connection = http.client.HTTPSConnection(
        "127.0.0.1", secure.port, timeout=120, context=with_certificate(tmp_path, CLIENT)
    )
    try:
        for turn in range(5):  # from the second on the server knows what is coming
            values = np.arange(turn, turn + 1_000_000, dtype=np.float32).tobytes()
            connection.request("POST", "/v2/models/any/infer", head + values, headers)
            response = connection.getresponse()
            assert (response.status, response.read().endswith(values)) == (200, True)
    finally:
        connection.close()


def test_large_answer_is_encrypted_as_it_is_read(secure: ServerThread, tmp_path: Path) -> None:
    """What a TLS transport encrypts at once it has memory for until the connection ends."""
    head = (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2000000,2],'
        b'"parameters":{"binary_data_size":16000000}}],"parameters":{"binary_data_output":true}}'
    )
    lines = b"Inference-Header-Content-Length: %d\r\nContent-Length: %d" % (len(head), len(head) + 16_000_000)
    with connect(secure, with_certificate(tmp_path, CLIENT)) as connection:
        connection.sendall(b"POST /v2/models/any/infer HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b" % (lines, head))
        connection.sendall(bytes(16_000_000))
        assert connection.recv(1) == b"H"
        deadline = time.monotonic() + 120
        while secure.server.buffered_bytes < 1_000_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for served in list(secure.server.connections):
            assert served._transport.get_write_buffer_size() < 2_000_000
        status, body = read_answer(connection)
        assert (status, body[-16_000_000:]) == (200, bytes(16_000_000))


HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
UPLOAD = b"POST /v2/models/any/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000)


@pytest.mark.parametrize(
    ("protocol", "sent"),
    [("http/1.1", METADATA), ("http/1.1", UPLOAD), ("h2", HELLO)],
    ids=["REST", "large body", "gRPC"],
)
def test_lost_connection_gives_its_memory_back_at_once(
    secure: ServerThread, tmp_path: Path, protocol: str, sent: bytes
) -> None:
    """Not only when Python collects reference cycles: with TLS a connection has all that it did not send."""

    def served() -> list[ssl.SSLObject]:
        """The server's ends of connections, those of former tests as well."""
        return [found for found in gc.get_objects() if isinstance(found, ssl.SSLObject)]

    port = secure.grpc_port if protocol == "h2" else secure.port
    context = with_certificate(tmp_path, CLIENT, protocol)
    gc.collect()
    gc.disable()
    try:
        before = served()
        with context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), 120), server_hostname="127.0.0.1"
        ) as connection:
            connection.sendall(sent)
            assert connection.recv(1)
            (lost,) = [weakref.ref(found) for found in served() if found not in before]
        deadline = time.monotonic() + 120
        while lost() is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        gc.enable()


def test_body_is_asked_for_behind_a_large_answer_that_is_still_on_its_way(
    secure: ServerThread, tmp_path: Path
) -> None:
    values = np.arange(2_000_000, dtype=np.float32).tobytes()
    tensor = b'{"name":"x","shape":[1000,2000],"datatype":"FP32","parameters":{"binary_data_size":8000000}}'
    body = b'{"inputs":[' + tensor + b'],"parameters":{"binary_data_output":true}}' + values
    head = b"POST /v2/models/any/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"
    length = b"Inference-Header-Content-Length: %d\r\n" % (len(body) - len(values))
    with connect(secure, with_certificate(tmp_path, CLIENT)) as connection:
        connection.sendall(head % (len(body), length) + body)
        time.sleep(0.5)  # nothing is read, so most of the answer waits in the server
        connection.sendall(head % (2, b"Expect: 100-continue\r\n"))
        status, answer = read_answer(connection)
        assert (status, answer.endswith(values)) == (200, True)
        assert connection.recv(25).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"{}")
        assert read_answer(connection)[0] == 400


def test_refused_request_is_answered_before_the_connection_ends(secure: ServerThread) -> None:
    with connect(secure, client_context(AUTHORITY)) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert read_answer(connection)[0] == 400


def test_new_certificate_holds_for_new_connections_and_a_broken_one_is_passed_over(
    secure: ServerThread, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = client_context(AUTHORITY)

    def poll() -> None:
        polled = threading.Event()
        secure.loop.call_soon_threadsafe(lambda: (secure.tls.files[0].poll(), polled.set()))
        assert polled.wait(120)

    with connect(secure, context) as old:
        write_server(directory, SECOND)
        poll()
        with connect(secure, context) as new:
            assert [common_name(connection) for connection in (old, new)] == ["first", "second"]
        (directory / "server.key").write_bytes(FIRST.key)
        poll()
        assert "old one stays" in caplog.text
        with connect(secure, context) as kept:
            assert common_name(kept) == "second"
        (directory / "ca.pem").write_bytes(OTHERS.certificate)
        write_server(directory, FIRST)
        poll()
        with connect(secure, with_certificate(directory, FOREIGN)) as trusted:
            trusted.sendall(METADATA)
            assert read_answer(trusted)[0] == 200
        old.sendall(LIVE)
        assert read_answer(old)[0] == 200


@pytest.fixture
def hasty(
    model_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerThread]:
    """A server that has little patience and room for handshakes."""
    monkeypatch.setattr(listener, "_MAX_HANDSHAKES", 3)
    monkeypatch.setattr(listener, "_ACCEPTS_AT_ONCE", 2)
    monkeypatch.setattr(listener, "_HANDSHAKE_TIMEOUT_SECONDS", 0.2)
    settings = SecuritySettings(tls=write_server(tmp_path, FIRST))
    with ServerThread({"mlp": model_files["mlp"]}, security=settings) as running:
        yield running


def test_clients_that_never_shake_hands_are_bounded_and_leave_room(
    hasty: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [hasty.connect() for _ in range(10)]
    try:
        assert {read_until_closed(connection) for connection in silent} <= {b"", b"<reset>"}
    finally:
        for connection in silent:
            connection.close()
    monkeypatch.setattr(listener, "_HANDSHAKE_TIMEOUT_SECONDS", 120)
    with connect(hasty, client_context(AUTHORITY)) as connection:
        connection.sendall(LIVE)
        assert read_answer(connection)[0] == 200
    assert hasty.server.buffered_bytes == 0


def test_client_that_leaves_during_the_handshake_leaves_nothing_behind(
    hasty: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_HANDSHAKE_TIMEOUT_SECONDS", 120)
    for _ in range(50):
        connection = socket.create_connection(("127.0.0.1", hasty.port), timeout=120)
        connection.sendall(b"\x16\x03\x01\x02")
        connection.close()
    with connect(hasty, client_context(AUTHORITY)) as last:
        last.sendall(LIVE)
        assert read_answer(last)[0] == 200
        assert len(hasty.server.connections) == 1


@pytest.mark.parametrize(
    ("offered", "by_rest", "by_grpc"),
    [
        ([HTTP_1_1, HTTP_2], HTTP_2, HTTP_2),
        ([HTTP_2], HTTP_2, HTTP_2),
        ([HTTP_1_1], HTTP_1_1, None),
        ([], None, None),
    ],
)
def test_contexts_agree_on_an_application_protocol(
    tmp_path: Path, offered: list[str], by_rest: str | None, by_grpc: str | None
) -> None:
    tls = load_tls(write_server(tmp_path, FIRST))
    assert tls.http is not None
    assert tls.grpc is not None
    assert negotiate(tls.http.current, client_context(AUTHORITY, *offered)) == by_rest
    assert negotiate(tls.grpc.current, client_context(AUTHORITY, *offered)) == by_grpc


def negotiate(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """Shake hands in memory; returns the protocol agreed on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ends[1].selected_alpn_protocol()


def broken(directory: Path, name: str) -> TlsSettings:
    settings = write_server(directory, FIRST, client_ca=AUTHORITY)
    assert settings.client_ca is not None
    if name == "no certificate":
        settings.certificate.unlink()
    elif name == "another's key":
        settings.key.write_bytes(SECOND.key)
    elif name == "encrypted key":
        settings.key.write_bytes(encrypt_key(FIRST))
    elif name == "no PEM":
        settings.certificate.write_bytes(b"\x30\x82")
    else:
        settings.client_ca.write_bytes(b"\xff" if name == "binary authority" else b"")
    return settings


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("no certificate", "--tls-cert: cannot read"),
        ("another's key", "is not that of the certificate"),
        ("encrypted key", "without a passphrase"),
        ("no PEM", "expected PEM with"),
        ("empty authority", "--tls-client-ca must be"),
        ("binary authority", "--tls-client-ca must be"),
    ],
)
def test_build_context_of_unusable_files_is_one_sentence(tmp_path: Path, name: str, part: str) -> None:
    with pytest.raises(InvalidSettingsError, match=part):
        build_context(broken(tmp_path, name), HTTP_1_1)
