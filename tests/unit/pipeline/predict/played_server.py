"""A server of the protocol that answers as a test says: what the real one does only under load."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Reply = tuple[int, dict[str, str], Any]
"""Status, headers, and JSON; None instead of a reply closes the connection."""


@dataclass
class Played:
    """What was asked, and what is answered: `reply` gets the rows of a request (its inputs' JSON)."""

    reply: Callable[[dict[str, Any]], Reply | None]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    paths: list[str] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    """What a GET of other paths than the model's answers."""


def doubled(request: dict[str, Any]) -> Reply:
    """The model of these tests: twice its input."""
    (tensor,) = request["inputs"]
    answer = {**tensor, "name": "y", "data": [2 * value for value in tensor["data"]]}
    return 200, {}, {"outputs": [answer]}


@contextmanager
def playing(reply: Callable[[dict[str, Any]], Reply | None] = doubled) -> Iterator[Played]:
    """A server whose one model `m` takes `x` FP32 [-1]."""
    played = Played(reply)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # an answer in one packet: nobody waits for a late acknowledgement

        def setup(self) -> None:
            played.connections += 1
            super().setup()

        def do_GET(self) -> None:
            shape = {"datatype": "FP32", "shape": [-1]}
            metadata = {"inputs": [{"name": "x", **shape}], "outputs": [{"name": "y", **shape}]}
            server = {"extensions": []} if self.path.endswith("/v2") else metadata
            played.paths.append(self.path)
            self._write(200, {}, played.documents.get(self.path, server))

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            played.asked.append(request)
            played.paths.append(self.path)
            played.headers.append(dict(self.headers))
            answer = played.reply(request)
            if answer is None:
                self.close_connection = True
                return
            self._write(*answer)

        def _write(self, status: int, headers: dict[str, str], document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        played.url = f"http://127.0.0.1:{server.server_port}/v2/models/m"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield played
        finally:
            server.shutdown()
            thread.join()
