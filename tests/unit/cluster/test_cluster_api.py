"""Reading objects as API servers give them, and servers that do not answer yet."""

import datetime
import select
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

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
