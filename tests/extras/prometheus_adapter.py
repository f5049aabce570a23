"""A real Prometheus and a real prometheus-adapter with the chart's rules, beside the API server."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hack.cluster.binaries import find_programs
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.netns import NODE_ADDRESS
from hack.cluster.packages import ensure_packages, find_program
from hack.cluster.testing import METRICS_PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hack.cluster.cluster import Cluster

RULES = Path(__file__).parents[2] / "charts/modelservice-operator/files/prometheus-adapter-rules.yaml"
PORT = 6444
PROMETHEUS_PORT = 9090
API_SERVER = f"https://{NODE_ADDRESS}:6443"


@dataclass(frozen=True)
class Target:
    """An address to scrape, as a pod."""

    namespace: str
    pod: str
    port: int


class Prometheus:
    """Scrapes twice a second what `scrape` was told last."""

    def __init__(self, folder: Path) -> None:
        self._targets = folder / "targets.json"
        self.scrape([])
        job = {
            "job_name": "pods",
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}],
        }
        (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}), encoding="utf-8")
        self.arguments = (
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}",
        )

    def scrape(self, targets: Sequence[Target]) -> None:
        """Scrape these from now on."""
        groups = [
            {
                "targets": [f"127.0.0.1:{target.port}"],
                "labels": {"namespace": target.namespace, "pod": target.pod},
            }
            for target in targets
        ]
        written = self._targets.with_suffix(".new")
        written.write_text(json.dumps(groups), encoding="utf-8")
        written.rename(self._targets)


@contextlib.contextmanager
def running_prometheus(folder: Path, inside: Sequence[str]) -> Iterator[Prometheus]:
    """Debian's Prometheus."""
    ensure_packages(METRICS_PROGRAMS)
    prometheus = Prometheus(folder)
    command = [*inside, str(find_program("prometheus")), *prometheus.arguments]
    with running(command, folder / "prometheus.log"):
        yield prometheus


@contextlib.contextmanager
def running_adapter(
    cluster: Cluster, folder: Path, inside: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The adapter, built where it is not yet, with the chart's rules in windows that suit the scrapes."""
    (program,) = find_programs(["prometheus-adapter"]).values()
    rules: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["rules"]["custom"]
    shortened = json.dumps({"rules": rules}).replace("[1m]", "[5s]")
    (folder / "rules.yaml").write_text(shortened, encoding="utf-8")
    kubeconfig = folder / "adapter-kubeconfig"
    write_kubeconfig(kubeconfig, cluster.paths.pki, "admin", API_SERVER)
    command = [
        *inside,
        str(program),
        f"--config={folder / 'rules.yaml'}",
        *(f"--{user}-kubeconfig={kubeconfig}" for user in ("lister", "authentication", "authorization")),
        *(f"--bind-address={NODE_ADDRESS}", f"--secure-port={PORT}", f"--cert-dir={folder / 'adapter'}"),
        f"--prometheus-url=http://127.0.0.1:{PROMETHEUS_PORT}",
        *("--metrics-relist-interval=1s", "--metrics-max-age=1m"),
    ]
    with running(command, folder / "adapter.log") as process:
        yield process


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as this lasts."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(120)
