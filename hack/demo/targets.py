"""A cluster that the user names: its kubeconfig context, a registry, an image builder on this machine."""

import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hack.cluster.registry import Registry
from hack.demo.errors import DemoError
from hack.demo.images import Image
from hack.demo.kubectl import Kubectl

_FORWARD_SECONDS = 30
_BUILDERS = ("docker", "podman", "buildah")


ASK_WITH_CURL = (
    'curl -s http://127.0.0.1:8000/v2/models/spam/infer -d \'{"inputs": [{"name": "text",',
    '  "datatype": "BYTES", "shape": [1], "data": ["Free entry! Text WIN to 80086"]}]}\'',
)


class Target(Protocol):
    """A cluster, and a registry that its nodes and pods pull from."""

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl for the cluster."""

    @property
    def registry_name(self) -> str:
        """How nodes and pods name the registry: `host[:port][/path]`."""

    @property
    def registry(self) -> Registry:
        """The same registry, as this machine reaches it."""

    def provide_image(self, image: Image, root: Path) -> str:
        """Build an image and push it, where that is not done yet; returns its reference for a pod."""

    def open_service(self, namespace: str, name: str) -> AbstractContextManager[str]:
        """Return a context with an address `http://...` here that leads to port 80 of a Service."""

    def next_steps(self) -> list[str]:
        """Return shell lines with which a user goes on."""


@dataclass(frozen=True)
class ContextTarget:
    """An existing cluster. `push_name` is the registry's name on this machine, where it differs."""

    context: str
    registry_name: str
    push_name: str

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl with the user's own kubeconfig."""
        return Kubectl(context=self.context)

    @property
    def registry(self) -> Registry:
        """The registry, over TLS where it speaks it."""
        host, _, path = self.push_name.partition("/")
        return Registry(f"{_find_scheme(host)}://{host}", f"{path}/" if path else "")

    def provide_image(self, image: Image, root: Path) -> str:
        """Build and push with the first of docker, podman and buildah that works here."""
        tag = image.compute_tag(root)
        if not self.registry.has(image.name, tag):
            builder = _find_builder()
            reference = f"{self.push_name}/{image.name}:{tag}"
            insecure = self.registry.url.startswith("http://") and Path(builder).name != "docker"
            _run_builder([builder, "build", "--file", str(image.dockerfile), "--tag", reference, "."], root)
            _run_builder([builder, "push", *(["--tls-verify=false"] if insecure else []), reference], root)
        return f"{self.registry_name}/{image.name}:{tag}"

    @contextmanager
    def open_service(self, namespace: str, name: str) -> Iterator[str]:
        """Forward a free local port with `kubectl port-forward`."""
        command = self.kubectl.command(
            "--namespace", namespace, "port-forward", "--address=127.0.0.1", f"service/{name}", ":80"
        )
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as forward:
            try:
                yield _read_address(forward)
            finally:
                forward.terminate()

    def next_steps(self) -> list[str]:
        """Return how to use the context, ask the model and remove the demo."""
        kubectl = f"kubectl --context {self.context}"
        return [
            f"{kubectl} get msvc -o wide",
            f"{kubectl} port-forward service/spam 8000:80 &",
            *ASK_WITH_CURL,
            f"make demo-down CONTEXT={self.context}",
        ]


def _find_builder() -> str:
    """Return the first builder that works: a docker command without its daemon is no builder."""
    for path in filter(None, map(shutil.which, _BUILDERS)):
        if subprocess.run([path, "info"], capture_output=True, check=False).returncode == 0:
            return path
    raise DemoError(f"building images needs one of {', '.join(_BUILDERS)}, and none works here")


def _run_builder(command: list[str], root: Path) -> None:
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        shown = " ".join([Path(command[0]).name, *command[1:]])
        raise DemoError(f"{shown} failed:\n{result.stderr[-2000:].strip()}")


def _read_address(forward: "subprocess.Popen[str]") -> str:
    """Return the address in the first line of `kubectl port-forward`."""
    # One that never says anything would block the read.
    timer = threading.Timer(_FORWARD_SECONDS, forward.terminate)
    timer.start()
    try:
        assert forward.stdout is not None
        line = forward.stdout.readline()
    finally:
        timer.cancel()
    match = re.match(r"Forwarding from (127\.0\.0\.1:\d+)", line)
    if match is None:
        raise DemoError(f"kubectl port-forward failed: {line.strip() or 'no answer'}")
    return f"http://{match[1]}"


def _find_scheme(host: str) -> str:
    try:
        with urllib.request.urlopen(f"https://{host}/v2/", timeout=10):
            return "https"
    except urllib.error.HTTPError:
        return "https"
    except (urllib.error.URLError, OSError) as error:
        # An answer that is no TLS: OpenSSL calls it a wrong version number or a record layer failure.
        if any(word in str(error) for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")):
            return "http"
        raise DemoError(f"the registry {host} does not answer: {error}") from error
