"""Reading objects as API servers give them, and servers that do not answer yet."""

import contextlib
import datetime
import select
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Any, Self

import pytest
from hack.cluster.api import Api, condition_status
from hack.cluster.pki import write_pki


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({}, ""),
        ({"status": {}}, ""),
        # As a definition is in its first milliseconds.
        ({"status": {"conditions": None}}, ""),
        ({"status": {"conditions": [{"type": "Established", "status": "True"}]}}, "True"),
    ],
)
def test_condition_status_absent_or_null_is_empty(found, status):
    assert condition_status(found, "Established") == status


def test_server_that_resets_before_the_handshake_is_not_ready_and_leaves_no_socket_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a forward does whose API server does not listen yet. An open socket is a warning, which fails."""
    write_pki(tmp_path, datetime.datetime.now(datetime.UTC))
    wrap = ssl.SSLContext.wrap_socket
    with socket.create_server(("127.0.0.1", 0)) as server:

        def wrap_once_reset(context: ssl.SSLContext, sock: socket.socket, **options: Any) -> ssl.SSLSocket:
            reset(server.accept()[0])
            assert select.select([sock], [], [], 30)[0]
            return wrap(context, sock, **options)

        monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap_once_reset)
        assert not Api(*server.getsockname(), tmp_path).is_ready()


def reset(connection: socket.socket) -> None:
    """Lingering for no time makes close() reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Server:
    """Answers every look over TLS, and ends a connection after so many answers."""

    def __init__(self, pki: Path, answers: int) -> None:
        self.connections = 0
        self._answers = answers
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._threads = [threading.Thread(target=self._run)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
                self._threads[-1].start()

    def _answer(self, connection: ssl.SSLSocket) -> None:
        with connection, connection.makefile("rb") as lines:
            for _ in range(self._answers):
                while (line := lines.readline()) not in (b"\r\n", b""):
                    pass
                if not line:
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                connection.sendall(b"Content-Length: 2\r\n\r\n{}")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    write_pki(folder, datetime.datetime.now(datetime.UTC))
    return folder


@pytest.mark.parametrize(("answers", "connections"), [(100, 1), (2, 3)], ids=["kept", "ended by the server"])
def test_looks_share_a_connection_and_survive_its_end(pki: Path, answers: int, connections: int) -> None:
    with Server(pki, answers) as server:
        api = Api(*server.address, pki)
        assert [api.get("/any") for _ in range(6)] == [{}] * 6
        del api
    assert server.connections == connections


def test_write_goes_over_a_connection_of_its_own(pki: Path) -> None:
    """Over one that has just been closed nobody knows whether it arrived."""
    with Server(pki, 1) as server:
        api = Api(*server.address, pki)
        api.get("/any")
        api.delete("/any")
        del api
    assert server.connections == 2
