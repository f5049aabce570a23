"""Pods that answer `GET /load` at real addresses, on a node whose kubelet is the test.

A thread starts every pod that comes to the node and ends every one that leaves. What the pods say of
themselves follows from one number: the requests that are in flight, which the ready pods share.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.ipv6 import call_in_thread, enter_namespace
from tests.support.played_node import PlayedNode, path_of, played_node, ready_status

from modelservice_operator.facts.ports import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hack.cluster.api import Api

ADDRESSES = tuple(f"198.18.77.{number}" for number in range(1, 61))
"""Of the range for tests of networks (RFC 2544); EndpointSlices refuse those of loopback."""
REQUEST_SECONDS = 0.1
POLL_SECONDS = 0.1
BEAT_SECONDS = 10.0


@dataclass
class _Counters:
    started_at: float
    idle_since: float
    in_flight_seconds: float = 0.0


class Traffic:
    """The requests in flight of one service, and what its pods say of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._level = 0.0
        self._settled_at = time.monotonic()
        self._pods: dict[str, _Counters] = {}
        self.silent: set[str] = set()
        """Addresses of pods that do not answer."""
        self.asked = 0

    def set(self, in_flight: float) -> None:
        """From now on so many requests are in flight."""
        with self._lock:
            self._settle()
            self._level = in_flight

    def join(self, address: str) -> None:
        """A pod gets its share from now on."""
        with self._lock:
            self._settle()
            self._pods[address] = _Counters(self._settled_at, self._settled_at)

    def leave(self, address: str) -> None:
        """A pod gets nothing any more."""
        with self._lock:
            self._settle()
            self._pods.pop(address, None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the ready pods are."""
        with self._lock:
            return tuple(self._pods)

    def answer(self, address: str) -> dict[str, Any] | None:
        """What a pod says; None where it says nothing."""
        with self._lock:
            self.asked += 1
            self._settle()
            pod = self._pods.get(address)
            if pod is None or address in self.silent:
                return None
            share = self._level / len(self._pods)
            return {
                "uptimeSeconds": self._settled_at - pod.started_at,
                "running": round(share),
                "waiting": 0,
                "inFlightSeconds": pod.in_flight_seconds,
                "requests": int(pod.in_flight_seconds / REQUEST_SECONDS),
                "idleSeconds": self._settled_at - pod.idle_since,
                "queueSeconds": {
                    "bounds": [0.1],
                    "counts": [int(pod.in_flight_seconds / REQUEST_SECONDS), 0],
                },
                "cpuSeconds": pod.in_flight_seconds,
                "memoryBytes": 1 << 28,
                "gpus": [],
            }

    def _settle(self) -> None:
        now = time.monotonic()
        seconds, self._settled_at = now - self._settled_at, now
        for pod in self._pods.values():
            pod.in_flight_seconds += seconds * self._level / len(self._pods)
            if self._level > 0:
                pod.idle_since = now


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    traffic: Traffic

    def do_GET(self) -> None:
        said = self.traffic.answer(str(self.server.server_address[0])) if self.path == "/load" else None
        if said is None:
            self.close_connection = True
            return
        raw = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """No lines on stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


@dataclass(frozen=True)
class Addresses:
    """Where pods may be; fleets share them."""

    free: list[str]
    namespace: str | None = None

    def listen(self, open_server: Callable[[], _Server]) -> _Server:
        """Open a server; a socket stays in the network namespace that it was made in."""
        if self.namespace is None:
            return open_server()
        return call_in_thread(lambda: enter_namespace(str(self.namespace)), open_server)


@dataclass
class Fleet:
    """The pods of one service on a node of their own."""

    node: PlayedNode
    addresses: Addresses
    traffic: Traffic = field(default_factory=Traffic)
    _servers: dict[str, tuple[str, _Server]] = field(default_factory=dict)

    def run(self, ends: threading.Event) -> None:
        """Be the kubelet, until the end."""
        beat_at = time.monotonic()
        while not ends.wait(POLL_SECONDS):
            if time.monotonic() - beat_at > BEAT_SECONDS:
                beat_at = time.monotonic()
                self.node.beat()
            pods = {pod["metadata"]["uid"]: pod for pod in self.node.pods()}
            for uid, pod in pods.items():
                if "deletionTimestamp" in pod["metadata"]:
                    self._end_server(uid)
                    self.node.api.delete(f"{path_of(pod)}?gracePeriodSeconds=0")
                elif uid not in self._servers:
                    self._start(uid, pod)
            for uid in self._servers.keys() - pods.keys():
                self._end_server(uid)
        for uid in tuple(self._servers):
            self._end_server(uid)

    def _start(self, uid: str, pod: dict[str, Any]) -> None:
        address = self.addresses.free.pop(0)
        handler = type("Handler", (_Handler,), {"traffic": self.traffic})
        server = self.addresses.listen(lambda: _Server((address, METRICS), handler))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._servers[uid] = (address, server)
        self.traffic.join(address)
        self.node.api.patch(
            f"{path_of(pod)}/status", {"status": ready_status(pod, address)}, kind="strategic-merge"
        )

    def _end_server(self, uid: str) -> None:
        known = self._servers.pop(uid, None)
        if known is not None:
            address, server = known
            self.traffic.leave(address)
            server.shutdown()
            server.server_close()
            self.addresses.free.append(address)


@contextlib.contextmanager
def pod_addresses(namespace: str | None = None) -> Iterator[Addresses]:
    """Addresses that lead here for as long as this lasts; without root the test is skipped.

    With `namespace` they are addresses of that network namespace.
    """
    ip = ("ip",) if namespace is None else ("ip", "-netns", namespace)
    added: list[str] = []
    try:
        for address in ADDRESSES:
            command = (*ip, "address", "add", f"{address}/32", "dev", "lo")
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            is_there = any(text in result.stderr for text in ("File exists", "already assigned"))
            if result.returncode != 0 and not is_there:
                pytest.skip(f"pods need addresses of their own, and so root: {result.stderr.strip()}")
            added.append(address)
        yield Addresses([*added], namespace)
    finally:
        for address in added:
            command = (*ip, "address", "delete", f"{address}/32", "dev", "lo")
            subprocess.run(command, capture_output=True, check=False)


@contextlib.contextmanager
def played_pods(api: Api, name: str, addresses: Addresses) -> Iterator[Fleet]:
    """A node of this name whose pods answer, for as long as this lasts."""
    ends = threading.Event()
    with played_node(api, name) as node:
        fleet = Fleet(node, addresses)
        thread = threading.Thread(target=fleet.run, args=(ends,), name=f"kubelet of {name}", daemon=True)
        thread.start()
        try:
            yield fleet
        finally:
            ends.set()
            thread.join(120)
