"""The real activator as a child process of a test, and the slices that a cluster would give it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.operator_process import ROOT, OperatorProcess, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from hack.cluster.api import Api


class ActivatorProcess(OperatorProcess):
    """One replica, whose clients come to `host`."""

    def __init__(self, kubeconfig: Path, namespace: str, log: Path, *flags: str, host: str) -> None:
        self._command = [
            *(sys.executable, "-m", "modelservice_activator", "--kubeconfig", str(kubeconfig)),
            *("--namespace", namespace, "--host", host, "--http-host", "127.0.0.1", *flags),
        ]
        super().__init__(_options(kubeconfig, namespace, log))
        self._log = log
        self.host = host

    def start(self) -> ActivatorProcess:
        """Start the process without waiting for anything."""
        command = [*self._command, "--http-port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stderr=log, stdout=log, cwd=ROOT / "operator", env={**os.environ}
            )
        return self

    def ports(self, namespace: str, name: str) -> dict[str, int] | str:
        """What it says of a service: its ports, or why not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("GET", f"/services/{namespace}/{name}")
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        return body["ports"] if answer.status == http.client.OK else str(body["error"])

    def wait_listening(self, namespace: str, name: str) -> ActivatorProcess:
        """Wait until it awaits clients of a service."""
        wait_until(lambda: not isinstance(self.ports(namespace, name), str), f"it listens for {name}")
        return self


def _options(kubeconfig: Path, namespace: str, log: Path) -> Any:
    from tests.support.operator_process import OperatorOptions

    return OperatorOptions(kubeconfig=kubeconfig, namespace=namespace, log=log, identity="activator-0")


def own_address() -> str | None:
    """An address of this machine that an EndpointSlice may name, None where there is only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # nothing is sent
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


def put_slice(
    api: Api, namespace: str, name: str, owner: str, address: str, *, ready: bool = True, **ports: int
) -> None:
    """Write an EndpointSlice as the operator does, or as Kubernetes for a Service of the operator's."""
    api.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{owner.split('.')[0]}",
                "namespace": namespace,
                "labels": {
                    "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": owner,
                    "modelservice.dev/name": name,
                    "app.kubernetes.io/managed-by": "modelservice-operator",
                },
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": ready}}],
            "ports": [{"name": port, "port": number} for port, number in ports.items()],
        }
    )
