"""Flux's source-controller and kustomize-controller, which apply what a Git repository has; built once.

They run as processes on a cluster's node: no image of them is needed. Flux's helm-controller is not among
them: no module proxy serves it.
"""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml
from hack.cluster.api import Api, condition_status
from hack.cluster.binaries import find_programs, go_environment
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.netns import NODE_ADDRESS, namespace_name
from hack.cluster.paths import GO_MODULES

NAMESPACE = "flux-system"
GIT_PORT = 9418
_CONTROLLERS = ("source-controller", "kustomize-controller")
_ARTIFACTS = f"{NODE_ADDRESS}:9191"
_START_SECONDS, _STOP_SECONDS = 60.0, 20.0
_ROOT = Path(__file__).resolve().parents[2]


def flux_crds() -> list[Path]:
    """Return the files of the CRDs in the two modules."""
    found: list[Path] = []
    for name in _CONTROLLERS:
        command = ["go", "list", "-m", "-f", "{{.Dir}}", f"github.com/fluxcd/{name}"]
        result = subprocess.run(
            command, cwd=GO_MODULES / name, env=go_environment(), capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise ClusterError(f"cannot find the CRDs of {name}: {result.stderr.strip()}")
        found += sorted(Path(result.stdout.strip(), "config", "crd", "bases").glob("*.yaml"))
    return found


def install_flux(api: Api) -> list[str]:
    """Install the CRDs and the namespace; return the paths of what was installed."""
    paths = []
    for file in flux_crds():
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        api.apply(crd)
        paths.append(api.path_of(crd))
    for path in paths:
        api.wait_for(path, lambda found: condition_status(found, "Established") == "True", what="established")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    api.apply(namespace)
    return [*paths, api.path_of(namespace)]


@contextlib.contextmanager
def running_flux(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Run both controllers until the end; their logs are in `folder`."""
    programs = find_programs(_CONTROLLERS)
    kubeconfig = folder / "flux-kubeconfig"
    write_kubeconfig(kubeconfig, cluster.paths.pki, "admin", f"https://{NODE_ADDRESS}:6443")
    setting = {
        "KUBECONFIG": str(kubeconfig),
        "RUNTIME_NAMESPACE": NAMESPACE,
        "SOURCE_CONTROLLER_LOCALHOST": _ARTIFACTS,
    }
    common = ("--enable-leader-election=false", "--log-level=info")
    options = {
        "source-controller": (
            f"--storage-path={folder / 'artifacts'}",
            f"--storage-addr={_ARTIFACTS}",
            f"--storage-adv-addr={_ARTIFACTS}",
        ),
        # Else what follows a change that waits for a person would wait, too.
        "kustomize-controller": ("--feature-gates=CancelHealthCheckOnNewRevision=true",),
    }
    (folder / "artifacts").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        for number, name in enumerate(_CONTROLLERS):
            ports = (
                f"--metrics-addr=127.0.0.1:{9620 + 2 * number}",
                f"--health-addr=127.0.0.1:{9621 + 2 * number}",
            )
            command = [str(programs[name]), *common, *ports, *options[name]]
            stack.enter_context(_running(cluster, command, folder / f"{name}.log", setting))
        yield


@contextlib.contextmanager
def git_server(cluster: Cluster, repositories: Path) -> Iterator[str]:
    """Serve the Git repositories in a folder to the cluster, and to nobody else; yield the address inside."""
    command = [sys.executable, "-m", "hack.cluster.git_http", NODE_ADDRESS, str(GIT_PORT), str(repositories)]
    with _running(cluster, command, repositories / "git-http.log", {}):
        forward = cluster.forward(NODE_ADDRESS, GIT_PORT)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(f"http://127.0.0.1:{forward}/"):
            if time.monotonic() > deadline:
                raise ClusterError(f"no answer of the Git server: see {repositories / 'git-http.log'}")
            time.sleep(0.1)
        yield f"http://{NODE_ADDRESS}:{GIT_PORT}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def _running(cluster: Cluster, command: list[str], log: Path, setting: dict[str, str]) -> Iterator[None]:
    """Run a program inside a cluster's network until the end."""
    inside = ["ip", "netns", "exec", namespace_name(cluster.name)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*inside, *command], stdout=output, stderr=subprocess.STDOUT, env=os.environ | setting, cwd=_ROOT
        )
    try:
        yield
        if process.poll() is not None:
            raise ClusterError(f"{command[0]} ended with {process.returncode}: see {log}")
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
