"""Starts the components of one cluster in order, and only those that do not run already."""

import datetime
import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hack.cluster import access, kwok, netns, teardown
from hack.cluster.api import Api, ApiError
from hack.cluster.audit import write_policy
from hack.cluster.components import ControlPlane
from hack.cluster.errors import ClusterError
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.node import NODE_NAME, Node
from hack.cluster.paths import REPOSITORY, ClusterPaths
from hack.cluster.pause import pause_archive
from hack.cluster.pki import write_pki
from hack.cluster.preflight import overlay_works
from hack.cluster.processes import ProcessTable
from hack.cluster.record import Record

LOOPBACK = "127.0.0.1"
# Normally a few seconds; a machine that builds and tests at the same time can take a minute.
START_TIMEOUT_SECONDS = 180.0
POLL_SECONDS = 0.05
COMPONENT_IDENTITIES = ("controller-manager", "scheduler", "kwok", "kubelet", "kube-proxy")
# In the order in which they are stopped.
NODE_COMPONENTS = ("kubelet", "kube-proxy", "containerd", "mounts")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Startup:
    """Brings up what `record` says of the cluster `name`."""

    def __init__(self, name: str, paths: ClusterPaths, record: Record, programs: Mapping[str, Path]) -> None:
        self._name = name
        self._paths = paths
        self._record = record
        self._table = ProcessTable(paths.processes, paths.logs)
        self._control_plane = ControlPlane(paths, record.endpoints, programs)
        self._environment = component_environment(paths)
        self._node = Node(paths, programs)

    def run(self) -> None:
        """Start everything and wait until it works; raise ClusterError with the cause where it does not."""
        if not self._record.complete:
            self._prepare()
        if self._record.namespace:
            self._ensure_access()
        if self._record.node:
            self._ensure_runtime()
        self._ensure("etcd", self._control_plane.etcd())
        write_policy(self._paths)
        self._ensure("apiserver", self._control_plane.apiserver())
        api = self._connect()
        self._ensure("controller-manager", self._control_plane.controller_manager())
        self._ensure("scheduler", self._control_plane.scheduler())
        if self._record.kwok:
            self._ensure("kwok", self._control_plane.kwok())
        if self._record.node:
            self._ensure_node(api)
        # Pods are refused until the controller manager has made this account.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait("the default service account", lambda: _exists(api, account))

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
            environment = {**self._environment, "PYTHONPATH": str(REPOSITORY)}
            self._table.start("access", [*command, *arguments], environment)
        self._wait("host access", self._paths.access_socket.exists)

    def _ensure_runtime(self) -> None:
        """Start the registry and containerd; they need no API server, so they start beside it."""
        if self._table.pid("mounts") is None or self._table.pid("containerd") is None:
            self._begin_node()
        self._ensure("registry", self._node.registry_command())
        self._ensure("mounts", self._node.mounts_command())
        self._wait("the node's mounts", self._node.mounts_ready.exists)
        self._ensure("containerd", self._enter_mounts(self._node.containerd_command()))

    def _begin_node(self) -> None:
        """Clear what an earlier node of this cluster left and write the configuration."""
        self._table.kill(NODE_COMPONENTS)
        teardown.kill_containers(self._paths)
        self._node.mounts_ready.unlink(missing_ok=True)
        for directory in ("containerd", "cni", "kubelet"):
            teardown.remove_directory(self._paths.root / directory)
        snapshotter = "overlayfs" if overlay_works(self._paths.root) else "native"
        self._node.write_configuration(snapshotter)

    def _ensure_node(self, api: Api) -> None:
        self._wait("containerd", self._import_pause_image)
        self._ensure("kubelet", self._enter_mounts(self._node.kubelet_command()))
        self._ensure("kube-proxy", self._enter_mounts(self._node.kube_proxy_command()))
        self._wait("the node", lambda: _node_is_ready(api))

    def _import_pause_image(self) -> bool:
        command = self._enter(self._node.import_command(pause_archive()))
        return (
            subprocess.run(command, capture_output=True, check=False, env=self._environment).returncode == 0
        )

    def _ensure(self, name: str, command: Sequence[str]) -> None:
        if self._table.pid(name) is None:
            self._table.start(name, self._enter(command), self._environment)

    def _enter(self, command: Sequence[str]) -> list[str]:
        if not self._record.namespace:
            return list(command)
        return ["nsenter", f"--net={netns.namespace_path(self._name)}", *command]

    def _enter_mounts(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._table.pid('mounts')}/ns/mnt", *command]

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


def _node_is_ready(api: Api) -> bool:
    node = api.find(f"/api/v1/nodes/{NODE_NAME}")
    return node is not None and kwok.is_schedulable(node)
