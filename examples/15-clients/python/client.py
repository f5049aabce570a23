"""A client of a served text classifier, with nothing but Python's standard library.

    MODELSERVICE_API_KEY=... python client.py --url https://spam.example:8080 --ca ca.crt "a text" "another"

Prints what the model takes and gives, then a label and a probability for each text. The body is JSON, as in
the Open Inference Protocol; for images and other large tensors see its binary extension, which the other two
clients use.
"""

import argparse
import contextlib
import http.client
import json
import os
import ssl
import sys
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

TRIES = 4
LONGEST_WAIT_SECONDS = 10.0
TRY_AGAIN = (429, 503)
"""Too many requests, and a server that starts or ends. A prediction changes nothing: it may be repeated."""


class RefusedError(Exception):
    """The server answered, but not with what was asked for."""


class Client:
    """One kept connection to one model."""

    def __init__(self, url: str, model: str, context: ssl.SSLContext | None, timeout_seconds: float) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.netloc, timeout=timeout_seconds, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_seconds)
        self._path = f"{parts.path.rstrip('/')}/v2/models/{urllib.parse.quote(model, safe='')}"
        self._headers = {"Content-Type": "application/json"}
        if key := os.environ.get("MODELSERVICE_API_KEY"):
            self._headers["Authorization"] = f"Bearer {key}"

    def metadata(self) -> Mapping[str, Any]:
        """What the model is called, takes and gives."""
        answer: Mapping[str, Any] = self._request("GET", "")
        return answer

    def classify(self, texts: list[str]) -> list[tuple[str, float]]:
        """Label and probability of each text."""
        tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
        wanted = [{"name": "label"}, {"name": "probability"}]
        answer = self._request("POST", "/infer", {"inputs": [tensor], "outputs": wanted})
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        return list(zip(outputs["label"], outputs["probability"], strict=True))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _request(self, method: str, path: str, body: object = None) -> Any:
        payload = None if body is None else json.dumps(body)
        for attempt in range(1, TRIES + 1):
            self._connection.request(method, self._path + path, payload, self._headers)
            response = self._connection.getresponse()
            answer = response.read()  # all of it: only then can the connection be used again
            if response.status not in TRY_AGAIN or attempt == TRIES:
                break
            time.sleep(wait_seconds(response.headers.get("Retry-After"), attempt))
        if response.status != http.client.OK:
            raise RefusedError(f"{response.status} {explain(answer)}")
        return json.loads(answer)


def wait_seconds(retry_after: str | None, attempt: int) -> float:
    """As long as the server asks for, else twice as long each time."""
    asked = float(retry_after) if retry_after and retry_after.isdigit() else 0.1 * 2**attempt
    return min(asked, LONGEST_WAIT_SECONDS)


def explain(answer: bytes) -> str:
    """The server's own sentence; a proxy in front of it may answer with anything."""
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace")[:200]


def make_context(arguments: argparse.Namespace) -> ssl.SSLContext:
    """Check the server by `--ca`, or by the system's authorities; show a certificate where one is given."""
    context = ssl.create_default_context(cafile=arguments.ca)
    if arguments.cert:
        context.load_cert_chain(arguments.cert, arguments.key)
    return context


def show(client: Client, texts: list[str]) -> None:
    """Print the signature of the model, and its answers."""
    metadata = client.metadata()
    for kind in ("inputs", "outputs"):
        for tensor in metadata[kind]:
            print(f"{kind[:-1]} {tensor['name']} {tensor['datatype']} {tensor['shape']}")
    for text, (label, probability) in zip(texts, client.classify(texts), strict=True):
        print(f"{label} {probability:.3f} {text}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Ask a served text classifier.")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="default: %(default)s")
    parser.add_argument("--model", default="spam", help="default: %(default)s")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="default: %(default)g")
    parser.add_argument("--ca", help="PEM file with the authority of the server's certificate")
    parser.add_argument("--cert", help="PEM file with a certificate of this client")
    parser.add_argument("--key", help="PEM file with its key")
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    return parser.parse_args()


def main() -> int:
    """Ask, and print the answers."""
    arguments = parse()
    try:
        context = make_context(arguments) if arguments.url.startswith("https:") else None
        with contextlib.closing(Client(arguments.url, arguments.model, context, arguments.timeout)) as client:
            show(client, arguments.texts)
    except (RefusedError, OSError, http.client.HTTPException) as error:
        print(f"client.py: {arguments.url}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
