"""Git repositories over HTTP: `python -m hack.cluster.git_http ADDRESS PORT FOLDER`, for reading only.

Git's own `git http-backend` does the work, as a CGI program. Flux speaks this and SSH, nothing simpler.
"""

import os
import subprocess
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Root serves what another user may own.
_SETTING = {"GIT_HTTP_EXPORT_ALL": "1", "GIT_CONFIG_COUNT": "1"} | {
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


class Handler(BaseHTTPRequestHandler):
    """Hands each request to Git and its answer back."""

    protocol_version = "HTTP/1.1"
    folder = ""

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        variables = {
            "GIT_PROJECT_ROOT": self.folder,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        result = subprocess.run(
            ["git", "http-backend"],
            input=body,
            stdout=subprocess.PIPE,
            check=False,
            env=os.environ | _SETTING | variables,
        )
        head, _, content = result.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = headers.pop("Status", str(HTTPStatus.OK.value)).split()[0]
        self.send_response(int(status))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        """Answer what a clone asks first."""
        self._answer()

    def do_POST(self) -> None:
        """Answer what a clone asks then."""
        self._answer()


def main(address: str, port: str, folder: str) -> None:
    """Serve until the process is ended."""
    Handler.folder = folder
    ThreadingHTTPServer((address, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
