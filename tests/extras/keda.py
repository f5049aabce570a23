"""The real KEDA beside the API server: its operator and its metrics server, as processes."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import subprocess
from typing import TYPE_CHECKING

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hack.cluster.api import condition_status
from hack.cluster.binaries import find_programs, go_environment
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.netns import NODE_ADDRESS
from hack.cluster.paths import GO_MODULES
from tests.extras.prometheus_adapter import API_SERVER, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hack.cluster.api import Api
    from hack.cluster.cluster import Cluster

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
PORT = 6445
_METRICS_SERVICE = f"{NODE_ADDRESS}:9666"
_NAMES = ("keda-operator.keda.svc", "keda-metrics-apiserver.keda.svc")


@contextlib.contextmanager
def keda_crds(api: Api) -> Iterator[None]:
    """Serve all of KEDA's kinds; its objects go with them at the end."""
    find = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/kedacore/keda/v2"]
    module = subprocess.run(
        find, cwd=GO_MODULES / "keda", env=go_environment(), capture_output=True, text=True, check=True
    )
    files = subprocess.run(
        ["find", f"{module.stdout.strip()}/config/crd/bases", "-name", "*.yaml"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    paths = []
    try:
        for file in files:
            with open(file, encoding="utf-8") as text:  # noqa: PTH123
                crd = yaml.safe_load(text)
            api.apply(crd)
            paths.append(api.path_of(crd))
        for path in paths:
            api.wait_for(path, lambda found: condition_status(found, "Established") == "True")
        yield
    finally:
        for path in paths:
            api.delete(path)
        for path in paths:
            api.wait_gone(path)


@contextlib.contextmanager
def running_keda(cluster: Cluster, folder: Path, inside: Sequence[str]) -> Iterator[None]:
    """KEDA, built where it is not yet; it serves its part of the metrics API on PORT."""
    programs = find_programs(["keda"])
    kubeconfig, certificates = folder / "keda-kubeconfig", folder / "keda"
    write_kubeconfig(kubeconfig, cluster.paths.pki, "admin", API_SERVER)
    _write_certificates(certificates)
    variables = {
        "WATCH_NAMESPACE": "",
        "POD_NAMESPACE": "keda",
        "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda",
        "KUBECONFIG": str(kubeconfig),
    }
    setting = ["env", *(f"{name}={value}" for name, value in variables.items())]
    operator = [
        *("--metrics-bind-address=127.0.0.1:9601", "--health-probe-bind-address=127.0.0.1:9602"),
        *(f"--metrics-service-bind-address={_METRICS_SERVICE}", f"--cert-dir={certificates}"),
        *("--enable-webhook-patching=false", "--enable-apiservice-patching=false"),
    ]
    adapter = [
        *(f"--secure-port={PORT}", f"--bind-address={NODE_ADDRESS}", f"--cert-dir={certificates}"),
        *(f"--client-ca-file={certificates / 'ca.crt'}", f"--tls-cert-file={certificates / 'tls.crt'}"),
        *(f"--tls-private-key-file={certificates / 'tls.key'}",),
        f"--metrics-service-address={_METRICS_SERVICE}",
        *(f"--{user}-kubeconfig={kubeconfig}" for user in ("lister", "authentication", "authorization")),
    ]
    with (
        running([*inside, *setting, str(programs["operator"]), *operator], folder / "keda-operator.log"),
        running([*inside, *setting, str(programs["adapter"]), *adapter], folder / "keda-adapter.log"),
    ):
        yield


def _write_certificates(folder: Path) -> None:
    """One certificate for both programs, which is its own authority."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keda")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(one) for one in _NAMES]
    address = x509.IPAddress(ipaddress.ip_address(NODE_ADDRESS))
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([*names, address]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    for file in ("ca.crt", "tls.crt"):
        (folder / file).write_bytes(text)
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    os.chmod(folder / "tls.key", 0o600)  # noqa: PTH101
