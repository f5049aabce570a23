"""The cluster: starts, resumes and removes a real Kubernetes on this machine."""

import dataclasses
import os
import socket
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hack.cluster import access, kwok, netns, preflight, teardown
from hack.cluster.api import Api
from hack.cluster.binaries import find_programs
from hack.cluster.components import Endpoints
from hack.cluster.errors import ClusterError
from hack.cluster.node import REGISTRY_PORT
from hack.cluster.packages import NAMESPACE_PROGRAMS, NODE_PROGRAMS, ensure_packages
from hack.cluster.paths import ClusterPaths, file_lock, state_directory
from hack.cluster.processes import ProcessIdentity, ProcessTable, current_boot_id
from hack.cluster.record import Record, read_record, write_record
from hack.cluster.startup import LOOPBACK, Startup


@dataclass(frozen=True)
class ComponentStatus:
    """One component: its pid (None when it does not run) and a word about its health."""

    name: str
    pid: int | None
    health: str


class Cluster:
    """A Kubernetes cluster called `name`; nothing happens before `up`.

    With `node` a kubelet and containerd run real pods (root only). `kwok_nodes` is how many untainted fake
    nodes to make at the start; None means that no fake node will ever be needed, and saves kwok. As root the
    cluster has a network namespace of its own; without root it is a control plane on loopback. `owner` marks
    a cluster that must not outlive that process.
    """

    def __init__(
        self,
        name: str,
        *,
        node: bool = True,
        kwok_nodes: int | None = None,
        namespace: bool | None = None,
        owner: ProcessIdentity | None = None,
    ) -> None:
        self.name = name
        self.paths = ClusterPaths.for_name(name)
        self._table = ProcessTable(self.paths.processes, self.paths.logs)
        self._node = node
        self._kwok_nodes = kwok_nodes
        self._namespace = os.geteuid() == 0 if namespace is None else namespace
        self._owner = owner
        self._apis: dict[int, Api] = {}

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.down()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig for use on the host."""
        return self.paths.kubeconfig

    @property
    def api(self) -> Api:
        """A client of the API server with the administrator's certificate."""
        endpoints = self._require_record().endpoints
        port = self.forward(endpoints.host, endpoints.api_port)
        if port not in self._apis:
            self._apis[port] = Api(LOOPBACK, port, self.paths.pki)
        return self._apis[port]

    @property
    def registry(self) -> str:
        """`HOST:PORT` at which the host reaches the registry that pods know as `10.0.0.1:5000`."""
        return f"{LOOPBACK}:{self.forward(netns.NODE_ADDRESS, REGISTRY_PORT)}"

    def up(self) -> None:
        """Start the cluster, or what is missing of it; return at once where all of it runs.

        An interrupted start is removed and done again. Raises ClusterError with the cause, and with the last
        lines of the log where a component died.
        """
        self._check_rights()
        self._apis.clear()
        if self._namespace:
            ensure_packages(NAMESPACE_PROGRAMS)
        if self._node:
            preflight.check_node(self.paths)
            ensure_packages(NODE_PROGRAMS)
        with self._lock():
            record = self._resume_or_begin()
            families = ["kubernetes", "etcd", *(["kwok"] if record.kwok else [])]
            programs = find_programs(families)
            try:
                Startup(self.name, self.paths, record, programs).run()
                write_record(self.paths, dataclasses.replace(record, complete=True))
            finally:
                if not self._require_record().is_usable():
                    # Nothing of a failed start stays but its logs.
                    self._stop()
        if self._kwok_nodes:
            kwok.create_nodes(self.api, [kwok.make_fake_node(f"kwok-{i}") for i in range(self._kwok_nodes)])

    def down(self) -> None:
        """Remove the cluster: processes, containers, mounts, namespace, files. No cluster is no error."""
        with self._lock():
            self._stop()
            teardown.remove_directory(self.paths.root)
            self.paths.lock.unlink(missing_ok=True)

    def forward(self, host: str, port: int) -> int:
        """Return a port on the host's 127.0.0.1 that leads to a pod's, service's or node's address.

        A cluster without a network namespace is on the host's loopback: its ports are returned as they are.
        """
        record = self._require_record()
        if record.namespace:
            return access.forward(self.paths.access_socket, host, port)
        if host == LOOPBACK:
            return port
        raise ClusterError(
            f"{host} is not reachable: cluster {self.name!r} has no network namespace; start it as root"
        )

    def status(self) -> list[ComponentStatus]:
        """Return every recorded component with its pid and health; empty where the cluster does not exist."""
        return [self._component_status(name) for name in self._table.names()]

    def _component_status(self, name: str) -> ComponentStatus:
        pid = self._table.pid(name)
        if pid is None:
            return ComponentStatus(name, None, "stopped")
        if name != "apiserver":
            return ComponentStatus(name, pid, "running")
        try:
            ready = self.api.is_ready()
        except ClusterError:
            return ComponentStatus(name, pid, "not reachable")
        return ComponentStatus(name, pid, "ready" if ready else "not ready")

    def _lock(self) -> AbstractContextManager[None]:
        return file_lock(
            self.paths.lock, f"cluster {self.name}: another run starts or stops it; waiting for that"
        )

    def _check_rights(self) -> None:
        if os.geteuid() != 0 and (self._node or self._namespace):
            raise ClusterError(
                "a node that runs pods needs root (namespaces, mounts, cgroups): run as root, "
                "or start the control plane alone with --no-node"
            )

    def _require_record(self) -> Record:
        record = read_record(self.paths)
        if record is None:
            raise ClusterError(
                f"cluster {self.name!r} does not exist: start it with "
                f"`python -m hack.cluster up --name {self.name}`"
            )
        return record

    def _resume_or_begin(self) -> Record:
        """Return the record of the cluster as wanted: the running one extended, or a new one."""
        record = read_record(self.paths)
        if record is not None and record.is_usable():
            if self._node and not record.namespace:
                raise ClusterError(
                    f"cluster {self.name!r} runs without a network namespace: run `down` first"
                )
            kwok_wanted = record.kwok or self._kwok_nodes is not None
            return dataclasses.replace(record, node=record.node or self._node, kwok=kwok_wanted)
        self._stop()
        teardown.remove_directory(self.paths.root)
        record = Record(
            boot_id=current_boot_id(),
            endpoints=self._choose_endpoints(),
            namespace=self._namespace,
            node=self._node,
            kwok=self._kwok_nodes is not None,
            complete=False,
            owner=self._owner,
        )
        write_record(self.paths, record)
        return record

    def _choose_endpoints(self) -> Endpoints:
        if self._namespace:
            # The namespace is ours alone, so the usual ports are free.
            return Endpoints(netns.NODE_ADDRESS, 6443, 2379, 2380)
        return Endpoints(LOOPBACK, *_free_ports(3))

    def _stop(self) -> None:
        teardown.kill_everything(self.paths)
        netns.delete_namespace(self.name)


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now; all are held until the last is known, so that they differ."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def remove_orphans() -> None:
    """Remove the clusters whose owner (a test run) is gone: it was killed before it could do so itself."""
    if not state_directory().is_dir():
        return
    for directory in state_directory().iterdir():
        record = read_record(ClusterPaths(directory))
        if record is not None and record.owner is not None and not record.owner.is_running():
            Cluster(directory.name).down()
