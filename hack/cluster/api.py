"""A small client of the API server for starting clusters and for tests: plain HTTPS, objects as dicts.

It exists because a kubectl process for each look costs more than a tenth of a second of CPU.
"""

import contextlib
import http.client
import json
import ssl
import time
import urllib.parse
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

FIELD_MANAGER = "hack-cluster"
REQUEST_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.25
RETRY_SECONDS = 0.2
TOO_MANY_REQUESTS = 429

Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused a request; `code` is the HTTP status, `reason` and the text are the server's."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


class _Socket(ssl.SSLSocket):
    """Closed where the peer resets it before the handshake, which ssl raises from and leaves open.

    https://github.com/python/cpython/blob/v3.11.7/Lib/ssl.py#L1066
    """

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive; a reset socket is of no use to anybody."""
        try:
            return super().recv(buflen, flags)
        except ConnectionResetError:
            self.close()
            raise


class Api:
    """Requests to one API server with one client certificate; safe to use from several threads."""

    def __init__(self, host: str, port: int, pki: Path, identity: str = "admin") -> None:
        self._address = (host, port)
        self._context = ssl.create_default_context(cafile=pki / "ca.crt")
        self._context.sslsocket_class = _Socket
        self._context.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
        self._resources: dict[tuple[str, str], Object] = {}
        self._idle: deque[http.client.HTTPSConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def request(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Any:
        """Send a request; return the parsed answer (text where it is not JSON) or raise ApiError.

        Sent again while the API server asks for that, as it does for the moment in which it changes how a
        custom resource is stored ("storage is (re)initializing").
        """
        deadline = time.monotonic() + REQUEST_TIMEOUT_SECONDS
        while True:
            response, text = self._send(method, path, body, content_type)
            is_wanted_later = response.status == TOO_MANY_REQUESTS and response.headers.get("Retry-After")
            if not is_wanted_later or time.monotonic() > deadline:
                break
            time.sleep(RETRY_SECONDS)
        answer = json.loads(text) if response.headers.get_content_type() == "application/json" else text
        if response.status >= 400:
            status = answer if isinstance(answer, dict) else {"message": text}
            raise ApiError(response.status, status.get("reason", ""), status.get("message", ""))
        return answer

    def _send(
        self, method: str, path: str, body: object, content_type: str
    ) -> tuple[http.client.HTTPResponse, str]:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        payload = None if body is None else json.dumps(body)
        if method == "GET":
            # None may be idle, or the server has closed it meanwhile; a look may be asked for twice.
            with contextlib.suppress(IndexError, OSError, http.client.HTTPException):
                return self._ask(self._idle.pop(), method, path, payload, headers)
        fresh = http.client.HTTPSConnection(
            *self._address, timeout=REQUEST_TIMEOUT_SECONDS, context=self._context
        )
        return self._ask(fresh, method, path, payload, headers)

    def _ask(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        payload: str | None,
        headers: dict[str, str],
    ) -> tuple[http.client.HTTPResponse, str]:
        """Send a request and read the answer; keep the connection: a handshake costs more than a look."""
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return response, text

    def is_ready(self) -> bool:
        """Return whether the API server answers and says that it is ready."""
        try:
            return bool(self.request("GET", "/readyz") == "ok")
        except (ApiError, OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> Any:
        """Return the object or list at `path`."""
        return self.request("GET", path)

    def find(self, path: str) -> Object | None:
        """Return the object at `path`, or None where there is none."""
        try:
            found: Object = self.request("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return found

    def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """Create an object in the collection `path`."""
        created: Object = self.request("POST", path, body)
        return created

    def patch(self, path: str, body: object, kind: str = "merge") -> Object:
        """Patch the object at `path`; `kind` is `merge`, `json` or `strategic-merge`."""
        patched: Object = self.request("PATCH", path, body, f"application/{kind}-patch+json")
        return patched

    def watch(self, path: str, version: str, seconds: int) -> Iterator[Object]:
        """Yield the events of the collection `path` after the resourceVersion `version`, for so long."""
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}"
        connection = http.client.HTTPSConnection(
            *self._address, timeout=seconds + REQUEST_TIMEOUT_SECONDS, context=self._context
        )
        try:
            connection.request("GET", f"{path}?{query}", headers={"Accept": "application/json"})
            response = connection.getresponse()
            while line := response.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def delete(self, path: str) -> None:
        """Delete what is at `path`; that it is gone already is fine."""
        try:
            self.request("DELETE", path)
        except ApiError as error:
            if error.code != 404:
                raise

    def apply(
        self, manifest: Mapping[str, Any], *, manager: str = FIELD_MANAGER, subresource: str = ""
    ) -> Object:
        """Apply a manifest (server-side, forced), of any kind the server knows; return the stored object."""
        query = urllib.parse.urlencode(
            {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        )
        path = self.path_of(manifest) + (f"/{subresource}" if subresource else "")
        applied: Object = self.request("PATCH", f"{path}?{query}", manifest, "application/apply-patch+yaml")
        return applied

    def path_of(self, manifest: Mapping[str, Any]) -> str:
        """Return the path of the object that a manifest describes, found by discovery."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        resource = self._resources.get((version, kind)) or self._discover(base, version, kind)
        metadata = manifest["metadata"]
        if resource["namespaced"]:
            base += f"/namespaces/{metadata.get('namespace', 'default')}"
        return f"{base}/{resource['name']}/{metadata['name']}"

    def _discover(self, base: str, version: str, kind: str) -> Object:
        for resource in self.get(base)["resources"]:
            if resource["kind"] == kind and "/" not in resource["name"]:
                self._resources[version, kind] = resource
                return dict(resource)
        raise ApiError(404, "NotFound", f"the server has no kind {kind} in {version}")

    def wait_for(
        self,
        path: str,
        condition: Callable[[Object], bool],
        *,
        what: str = "",
        timeout_seconds: float = 120.0,
    ) -> Object:
        """Return the object at `path` once `condition` holds for it.

        Raises TimeoutError that shows the last object seen, without its managed fields.
        """
        began = time.monotonic()
        while True:
            found = self.find(path)
            if found is not None and condition(found):
                return found
            if time.monotonic() > began + timeout_seconds:
                missed = f"{what or 'the condition'} not within {timeout_seconds:.0f} s"
                raise TimeoutError(f"{path}: {missed}; saw {_describe(found)}")
            pause(began)

    def wait_gone(self, path: str, timeout_seconds: float = 120.0) -> None:
        """Return once nothing is at `path`; raise TimeoutError with the object where it stays."""
        began = time.monotonic()
        while (found := self.find(path)) is not None:
            if time.monotonic() > began + timeout_seconds:
                raise TimeoutError(f"{path} still exists: {_describe(found)}")
            pause(began)


def pause(began: float) -> None:
    """Sleep between two looks at what has been waited for since `began`: a twentieth of that, within bounds.

    What waits long is looked at less often, so that it leaves the machine to what it waits for.
    """
    waited = time.monotonic() - began
    time.sleep(min(max(POLL_SECONDS, waited / 20), LONGEST_POLL_SECONDS))


def _close_all(connections: deque[http.client.HTTPSConnection]) -> None:
    while connections:
        connections.pop().close()


def _describe(found: Object | None) -> str:
    if found is None:
        return "nothing"
    metadata = {key: value for key, value in found.get("metadata", {}).items() if key != "managedFields"}
    return json.dumps({**found, "metadata": metadata}, indent=1)


def condition_status(found: Mapping[str, Any], condition_type: str) -> str:
    """Return the status (`True`, `False`, `Unknown`, or empty) of a condition of an object."""
    # A new definition has `conditions: null` for a moment.
    for condition in found.get("status", {}).get("conditions") or []:
        if condition["type"] == condition_type:
            return str(condition["status"])
    return ""
