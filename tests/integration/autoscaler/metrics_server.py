"""custom.metrics.k8s.io for HPAs: `python -m ... CERTIFICATE KEY ADDRESS PORT`.

`PUT /values` sets what is answered, by path; `GET /asked` says how often each path was asked for since then.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

API = "custom.metrics.k8s.io/v1beta2"
Values = dict[str, dict[str, str]]
"""By path of the request, with the query: the values by name of what they describe."""


class Metrics(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    values: ClassVar[Values] = {}
    asked: ClassVar[Counter[str]] = Counter()

    def do_PUT(self) -> None:
        type(self).values = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer({})

    def do_GET(self) -> None:
        path = unquote(self.path)
        if path == "/asked":
            self._answer(self.asked)
        elif path == f"/apis/{API}":
            self._answer(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API, "resources": []}
            )
        elif path in self.values:
            self.asked[path] += 1
            self._answer(
                {"kind": "MetricValueList", "apiVersion": API, "metadata": {}, "items": self._items(path)}
            )
        else:
            self.asked[path] += 1
            self._answer(
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "reason": "NotFound",
                    "code": 404,
                },
                404,
            )

    def _items(self, path: str) -> list[dict[str, Any]]:
        metric = path.partition("?")[0].rpartition("/")[2]
        return [
            {
                "describedObject": {"kind": "Pod", "apiVersion": "v1", "name": name},
                "metric": {"name": metric},
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "value": value,
            }
            for name, value in self.values[path].items()
        ]

    def _answer(self, body: object, code: int = 200) -> None:
        payload = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main(certificate: str, key: str, address: str, port: str) -> None:
    """Serve until killed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer((address, int(port)), Metrics)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
