"""The command lines of the control plane. Pure: nothing here starts anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.paths import ClusterPaths

SERVICE_CIDR = "10.96.0.0/16"
POD_CIDR = "10.244.0.0/16"
KWOK_POD_CIDR = "10.245.0.0/16"
FAKE_NODE_ANNOTATION = "kwok.x-k8s.io/node"


@dataclass(frozen=True)
class Endpoints:
    """Where the control plane listens: `host` and ports as its own components see them."""

    host: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int

    @property
    def api_url(self) -> str:
        return f"https://{self.host}:{self.api_port}"


@dataclass(frozen=True)
class ControlPlane:
    """Builds the command of each control plane component of one cluster."""

    paths: ClusterPaths
    endpoints: Endpoints
    programs: Mapping[str, Path]

    def etcd(self) -> list[str]:
        client = f"http://127.0.0.1:{self.endpoints.etcd_port}"
        peer = f"http://127.0.0.1:{self.endpoints.etcd_peer_port}"
        return [
            str(self.programs["etcd"]),
            f"--data-dir={self.paths.root / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # The data lives as long as the cluster; a lost write after a power cut does not matter.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def apiserver(self) -> list[str]:
        # On loopback there is no address that pods could use, so none is published.
        loopback = self.endpoints.host == "127.0.0.1"
        return [
            str(self.programs["kube-apiserver"]),
            f"--etcd-servers=http://127.0.0.1:{self.endpoints.etcd_port}",
            f"--bind-address={'127.0.0.1' if loopback else '0.0.0.0'}",
            f"--advertise-address={self.endpoints.host}",
            f"--endpoint-reconciler-type={'none' if loopback else 'lease'}",
            f"--secure-port={self.endpoints.api_port}",
            f"--cert-dir={self.paths.root / 'apiserver'}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--profiling=false",
            *self._audit(),
            *self._apiserver_certificates(),
        ]

    def _audit(self) -> list[str]:
        return [
            f"--audit-policy-file={self.paths.audit_policy}",
            f"--audit-log-path={self.paths.audit_log}",
            # A cluster that runs for days keeps as much as two of these files.
            "--audit-log-maxsize=100",
            "--audit-log-maxbackup=1",
        ]

    def _apiserver_certificates(self) -> list[str]:
        pki = self.paths.pki
        return [
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/service-account.pub",
            f"--service-account-signing-key-file={pki}/service-account.key",
            f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
            f"--proxy-client-key-file={pki}/front-proxy-client.key",
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-aggregator-routing=true",
        ]

    def controller_manager(self) -> list[str]:
        pki = self.paths.pki
        return [
            str(self.programs["kube-controller-manager"]),
            f"--kubeconfig={self.kubeconfig('controller-manager')}",
            "--leader-elect=false",
            "--secure-port=0",
            "--controllers=*",
            f"--service-account-private-key-file={pki}/service-account.key",
            f"--root-ca-file={pki}/ca.crt",
            "--use-service-account-credentials",
            f"--cluster-cidr={POD_CIDR}",
            f"--flex-volume-plugin-dir={self.paths.root / 'volume-plugins'}",
            # Tests of autoscaling must not wait for the defaults of 15 s and 5 min.
            "--horizontal-pod-autoscaler-sync-period=2s",
            "--horizontal-pod-autoscaler-downscale-stabilization=10s",
            # The default of 20 requests a second is for machines shared with others.
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--profiling=false",
        ]

    def scheduler(self) -> list[str]:
        return [
            str(self.programs["kube-scheduler"]),
            f"--kubeconfig={self.kubeconfig('scheduler')}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--profiling=false",
        ]

    def kwok(self) -> list[str]:
        return [
            str(self.programs["kwok"]),
            f"--kubeconfig={self.kubeconfig('kwok')}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={FAKE_NODE_ANNOTATION}=fake",
            f"--cidr={KWOK_POD_CIDR}",
            "--node-ip=10.0.0.2",
            # Without a Lease a node is heard of only through its status, too seldom for the controller
            # manager: it then marks the node, and for ever its pods, as not ready.
            "--node-lease-duration-seconds=40",
        ]

    def kubeconfig(self, identity: str) -> Path:
        """Return the kubeconfig file of a component."""
        return self.paths.config / f"{identity}.kubeconfig"
