"""Starts the components of one cluster in order, and only those that do not run already."""

import datetime
import http.client
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hack.cluster import access, netns
from hack.cluster.api import Api, ApiError
from hack.cluster.components import ControlPlane
from hack.cluster.errors import ClusterError
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.paths import REPOSITORY, ClusterPaths
from hack.cluster.pki import write_pki
from hack.cluster.processes import ProcessTable
from hack.cluster.record import Record

LOOPBACK = "127.0.0.1"
START_TIMEOUT_SECONDS = 90.0
POLL_SECONDS = 0.05
COMPONENT_IDENTITIES = ("controller-manager", "scheduler", "kwok", "kubelet", "kube-proxy")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Startup:
    """Brings up what `record` says of the cluster `name`."""

    def __init__(self, name: str, paths: ClusterPaths, record: Record, programs: Mapping[str, Path]) -> None:
        self._name = name
        self._paths = paths
        self._record = record
        self._table = ProcessTable(paths.processes, paths.logs)
        self._control_plane = ControlPlane(paths, record.endpoints, programs)

    def run(self) -> None:
        """Start everything and wait until it works; raise ClusterError with the cause where it does not."""
        if not self._record.complete:
            self._prepare()
        if self._record.namespace:
            self._ensure_access()
        self._ensure("etcd", self._control_plane.etcd())
        self._ensure("apiserver", self._control_plane.apiserver())
        api = self._connect()
        self._ensure("controller-manager", self._control_plane.controller_manager())
        self._ensure("scheduler", self._control_plane.scheduler())
        if self._record.kwok:
            self._ensure("kwok", self._control_plane.kwok())
        # Pods are refused until the controller manager has made this account.
        self._wait(
            "the default service account",
            lambda: _exists(api, "/api/v1/namespaces/default/serviceaccounts/default"),
        )

    def _prepare(self) -> None:
        if self._record.namespace:
            netns.create_namespace(self._name)
        write_pki(self._paths.pki, datetime.datetime.now(datetime.UTC))
        for identity in COMPONENT_IDENTITIES:
            path = self._control_plane.kubeconfig(identity)
            write_kubeconfig(path, self._paths.pki, identity, self._record.endpoints.api_url)

    def _ensure_access(self) -> None:
        """Start the process through which the host reaches the namespace; it enters by itself."""
        if self._table.pid("access") is None:
            self._paths.access_socket.unlink(missing_ok=True)
            command = [sys.executable, "-m", access.__name__]
            arguments = [netns.namespace_path(self._name), self._paths.access_socket]
            environment = {**component_environment(self._paths), "PYTHONPATH": str(REPOSITORY)}
            self._table.start("access", [*command, *arguments], environment)
        self._wait("host access", self._paths.access_socket.exists)

    def _ensure(self, name: str, command: Sequence[str]) -> None:
        if self._table.pid(name) is not None:
            return
        enter = ["nsenter", f"--net={netns.namespace_path(self._name)}"] if self._record.namespace else []
        self._table.start(name, [*enter, *command], component_environment(self._paths))

    def _connect(self) -> Api:
        """Wait for the API server and write the administrator's kubeconfig with its address on the host."""
        endpoints = self._record.endpoints
        port = endpoints.api_port
        if self._record.namespace:
            port = access.forward(self._paths.access_socket, endpoints.host, endpoints.api_port)
        api = Api(LOOPBACK, port, self._paths.pki)
        self._wait("the API server", api.is_ready)
        write_kubeconfig(self._paths.kubeconfig, self._paths.pki, "admin", f"https://{LOOPBACK}:{port}")
        return api

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not condition():
            self._table.check()
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{what} did not become ready within {START_TIMEOUT_SECONDS:.0f} s; "
                    f"read the logs in {self._paths.logs}"
                )
            time.sleep(POLL_SECONDS)


def component_environment(paths: ClusterPaths) -> dict[str, str]:
    """Return a component's environment: small, so that no proxy or kubeconfig of the user leaks in."""
    return {"PATH": SYSTEM_PATH, "HOME": str(paths.root), "LANG": "C.UTF-8"}


def _exists(api: Api, path: str) -> bool:
    try:
        return api.find(path) is not None
    except (ApiError, OSError, http.client.HTTPException):
        return False
