"""The real node: configuration and commands of containerd, kubelet, kube-proxy and the registry.

Nothing is started here. Every deviation from the defaults is what this kind of machine needs: root in a
container or a small virtual machine, cgroup v1 or v2, no systemd.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.components import POD_CIDR
from hack.cluster.errors import ClusterError
from hack.cluster.netns import NODE_ADDRESS
from hack.cluster.paths import ClusterPaths
from hack.cluster.pause import PAUSE_IMAGE

NODE_NAME = "node1"
NODE_POD_CIDR = "10.244.1.0/24"
REGISTRY_PORT = 5000
REGISTRY = f"{NODE_ADDRESS}:{REGISTRY_PORT}"
CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
# containerd, runc, CNI plugins and kubelet write to fixed places here; each cluster gets its own.
PRIVATE_DIRECTORIES = ("/run", "/var/lib", "/var/log")

# $0 is made when the mounts are in place; the sleeping process keeps the mount namespace.
_MOUNTS = f"""
set -e
for directory in {" ".join(PRIVATE_DIRECTORIES)}; do
  mount -t tmpfs -o mode=755 tmpfs "$directory"
done
mkdir /run/lock
touch "$0"
exec sleep infinity
"""


@dataclass(frozen=True)
class Node:
    """The files and commands of the real node of one cluster."""

    paths: ClusterPaths
    programs: Mapping[str, Path]

    @property
    def mounts_ready(self) -> Path:
        """The file that says that the node's private mounts are made."""
        return self.paths.root / "mounts-ready"

    def write_configuration(self, snapshotter: str) -> None:
        """Write every configuration file of the node's components; `snapshotter` is containerd's."""
        files = {
            "containerd.toml": self._containerd_toml(snapshotter),
            f"certs.d/{REGISTRY}/hosts.toml": _REGISTRY_HOSTS,
            "cni/10-bridge.conflist": json.dumps(self._cni_list(), indent=1),
            "kubelet.json": json.dumps(self._kubelet(), indent=1),
            "kube-proxy.json": json.dumps(self._kube_proxy(), indent=1),
            "registry.json": json.dumps(self._registry(), indent=1),
        }
        for name, content in files.items():
            path = self.paths.config / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def mounts_command(self) -> list[str]:
        """Return the command of the process that holds the node's mount namespace."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNTS, str(self.mounts_ready)]

    def containerd_command(self) -> list[str]:
        return ["containerd", "--config", str(self.paths.config / "containerd.toml")]

    def kubelet_command(self) -> list[str]:
        return [
            str(self.programs["kubelet"]),
            f"--config={self.paths.config / 'kubelet.json'}",
            f"--kubeconfig={self.paths.config / 'kubelet.kubeconfig'}",
            f"--root-dir={self.paths.root / 'kubelet'}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
        ]

    def kube_proxy_command(self) -> list[str]:
        return [str(self.programs["kube-proxy"]), f"--config={self.paths.config / 'kube-proxy.json'}"]

    def registry_command(self) -> list[str]:
        return ["docker-registry", "serve", str(self.paths.config / "registry.json")]

    def import_command(self, archive: Path) -> list[str]:
        """Return the command that gives containerd the images of an archive."""
        socket = f"--address={self.paths.containerd_socket}"
        return ["ctr", socket, "--namespace=k8s.io", "images", "import", str(archive)]

    def _containerd_toml(self, snapshotter: str) -> str:
        root = self.paths.root / "containerd"
        cni = next((path for path in CNI_DIRECTORIES if (path / "bridge").exists()), None)
        if cni is None:
            raise ClusterError("no CNI plugins: install the Debian package containernetworking-plugins")
        return _CONTAINERD.format(
            root=_quote(root / "root"),
            state=_quote(root / "state"),
            temporary=_quote(root / "temporary"),
            socket=_quote(self.paths.containerd_socket),
            ttrpc=_quote(self.paths.root / "containerd-ttrpc.sock"),
            pause=_quote(PAUSE_IMAGE),
            snapshotter=_quote(snapshotter),
            cni_programs=_quote(cni),
            cni_config=_quote(self.paths.config / "cni"),
            registries=_quote(self.paths.config / "certs.d"),
        )

    def _cni_list(self) -> dict[str, Any]:
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.paths.root / "cni"),
                "ranges": [[{"subnet": NODE_POD_CIDR}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _kubelet(self) -> dict[str, Any]:
        pki = self.paths.pki
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(pki / "kubelet-server.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
            "containerRuntimeEndpoint": f"unix://{self.paths.containerd_socket}",
            "podLogsDir": str(self.paths.logs / "pods"),
            "volumePluginDir": str(self.paths.root / "volume-plugins"),
            # With no DNS server here a lookup fails at once, not after the host's resolver timed out.
            "clusterDNS": [NODE_ADDRESS],
            "clusterDomain": "cluster.local",
            "registryPullQPS": 0,
            "serializeImagePulls": False,
            **self._kubelet_limits(),
        }

    def _kubelet_limits(self) -> dict[str, Any]:
        return {
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "oomScoreAdj": 0,
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            # Forgives the kernel settings that a container may not change.
            "featureGates": {"KubeletInUserNamespace": True},
            # The machine's disk is not ours: a full one must not evict pods or delete images.
            "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        }

    def _kube_proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": POD_CIDR,
            "hostnameOverride": NODE_NAME,
            "clientConnection": {"kubeconfig": str(self.paths.config / "kube-proxy.kubeconfig")},
            # The default of 1 s would keep a new endpoint out of its Service for as long.
            "nftables": {"minSyncPeriod": "100ms"},
            # Zero leaves the machine's connection tracking alone; a namespace may not change it.
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def _registry(self) -> dict[str, Any]:
        return {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.paths.root / "registry")},
                "delete": {"enabled": True},
            },
            "http": {"addr": REGISTRY},
        }


def _quote(value: str | Path) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(str(value))


_REGISTRY_HOSTS = f"""\
server = "http://{REGISTRY}"
[host."http://{REGISTRY}"]
capabilities = ["pull", "resolve"]
"""

# "opt" would make /opt/containerd; the other snapshotters only fill the log where their tools are missing.
_CONTAINERD = """\
version = 2
root = {root}
state = {state}
temp = {temporary}
oom_score = 0
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = {socket}

[ttrpc]
address = {ttrpc}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {pause}
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = {snapshotter}
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {cni_programs}
conf_dir = {cni_config}

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = {registries}
"""
