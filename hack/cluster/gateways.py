"""The Gateway API, and Traefik, which serves it: CRDs from the Go module, the program from its wheel."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hack.cluster.api import Api, condition_status
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.module_crds import module_crds
from hack.cluster.netns import NODE_ADDRESS, namespace_path
from hack.cluster.wheels import TRAEFIK, find_wheel_program

GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.3"
CLASS = "traefik"
PORT = 8000
"""A listener's port has to be one of Traefik's own."""
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_START_SECONDS = 60.0


def gateway_crds() -> list[dict[str, Any]]:
    """Return the CRDs of the standard channel."""
    return module_crds(GATEWAY_API, "config/crd/standard")


def install_gateway_api(api: Api) -> None:
    """Install the CRDs and wait until they are served."""
    for crd in gateway_crds():
        api.apply(crd)
        path = f"{_CRDS}/{crd['metadata']['name']}"
        api.wait_for(path, lambda found: condition_status(found, "Established") == "True", what="established")


def remove_gateway_api(api: Api) -> None:
    """Remove the CRDs, with all that is of their kinds."""
    paths = [f"{_CRDS}/{crd['metadata']['name']}" for crd in gateway_crds()]
    for path in paths:
        if api.find(path) is not None:
            api.delete(path)
    for path in paths:
        api.wait_gone(path)


@dataclass(frozen=True)
class Traefik:
    """A Traefik that runs on the node of a cluster; `log` is where it writes."""

    cluster: Cluster
    log: Path

    def address(self) -> tuple[str, int]:
        """Host and port here that lead to its entry point; a route takes no address for a host."""
        return "localhost", self.cluster.forward(NODE_ADDRESS, PORT)


@contextlib.contextmanager
def running_traefik(cluster: Cluster, folder: Path, *flags: str) -> Iterator[Traefik]:
    """Run Traefik with its defaults as the controller of the class `traefik`, until the end."""
    kubeconfig = folder / "traefik-kubeconfig"
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    for one in config["clusters"]:
        one["cluster"]["server"] = f"https://{NODE_ADDRESS}:6443"
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    options = (
        "--providers.kubernetesgateway=true",
        f"--entrypoints.web.address={NODE_ADDRESS}:{PORT}",
        f"--entrypoints.traefik.address={NODE_ADDRESS}:8081",
        "--ping",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        *flags,
    )
    inside = ["nsenter", f"--net={namespace_path(cluster.name)}"]
    log = folder / "traefik.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *inside, str(find_wheel_program(TRAEFIK)), *options],
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        cluster.api.apply(make_gateway_class())
        wait_accepted(cluster.api, log)
        yield Traefik(cluster, log)
    finally:
        process.kill()
        process.wait()


def wait_accepted(api: Api, log: Path, class_name: str = CLASS) -> None:
    """Wait until a controller, which writes to `log`, has taken the class."""
    path = f"/apis/gateway.networking.k8s.io/v1/gatewayclasses/{class_name}"
    deadline = time.monotonic() + _START_SECONDS
    while condition_status(api.get(path), "Accepted") != "True":
        if time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8")[-2000:]
            raise ClusterError(f"nobody takes Gateways of the class {class_name}:\n{said}")
        time.sleep(0.1)


def make_gateway_class(name: str = CLASS) -> dict[str, Any]:
    """Return the GatewayClass of Traefik."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": name},
        "spec": {"controllerName": "traefik.io/gateway-controller"},
    }


def make_gateway(
    namespace: str, name: str = "web", class_name: str = CLASS, **listener: Any
) -> dict[str, Any]:
    """Return a Gateway with one listener that admits the routes of its namespace."""
    listeners = [{"name": "web", "protocol": "HTTP", "port": PORT, **listener}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"gatewayClassName": class_name, "listeners": listeners},
    }
