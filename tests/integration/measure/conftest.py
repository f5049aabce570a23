"""Two real servers as the pods of two revisions, their requests, and a real Prometheus that scrapes them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.errors import ClusterError
from hack.cluster.packages import ensure_packages, find_program
from hack.cluster.testing import METRICS_PROGRAMS
from tests.support.operator_process import wait_until
from tests.support.ports import free_port
from tests.unit.runtime.onnx_models import save_gather, save_log, save_loop
from tests.unit.runtime.server_process import ServerProcess, server_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

START_SECONDS = 60.0
FINE, BAD = 1, 9
"""Indices for the model `table`, which has 4 rows: it fails on another one."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install Prometheus before the first test that needs it."""
    needs_it = any("prometheus" in getattr(item, "fixturenames", ()) for item in session.items)
    if needs_it and not session.config.option.collectonly:
        # Where it fails, the fixture fails again, with the reason.
        with contextlib.suppress(ClusterError):
            ensure_packages(METRICS_PROGRAMS)


class Server:
    """A server, as the only pod of a revision."""

    def __init__(self, revision: str, process: ServerProcess) -> None:
        self.revision = revision
        self.name = f"spam-{revision}-7d9f8b6c5d-x2k9p"
        self.process = process
        self._connection = HTTPConnection("127.0.0.1", process.http_port, timeout=120)

    @property
    def pod(self) -> dict[str, Any]:
        """The pod as the API server would tell it."""
        ports = [{"name": "metrics", "containerPort": self.process.metrics_port}]
        return {
            "metadata": {
                "name": self.name,
                "uid": self.name,
                "labels": {"modelservice.dev/revision": self.revision},
            },
            "spec": {"containers": [{"name": "server", "ports": ports}]},
            "status": {
                "podIP": "127.0.0.1",
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }

    def look_up(self, index: int, datatype: str = "INT64") -> int:
        """Ask the model `table`; the status of the answer. Another datatype is the client's mistake."""
        return self._ask("table", {"name": "x", "datatype": datatype, "shape": [1], "data": [index]})

    def logarithm(self, number: float) -> int:
        """Ask the model `log`, whose answer to a negative number is NaN."""
        return self._ask("log", {"name": "x", "datatype": "FP32", "shape": [1], "data": [number]})

    def turn(self, turns: int) -> int:
        """Ask the model `loop`, which takes as long as it is told."""
        return self._ask("loop", {"name": "x", "datatype": "INT64", "shape": [1], "data": [turns]})

    def _ask(self, model: str, tensor: Mapping[str, Any]) -> int:
        self._connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
        response = self._connection.getresponse()
        response.read()
        return response.status

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """The pod of a new revision, and that of the old one."""
    folder = tmp_path_factory.mktemp("models")
    models = ("--model", f"table={save_gather(folder / 'table.onnx')}")
    models += ("--model", f"log={save_log(folder / 'log.onnx')}")
    models += ("--model", f"loop={save_loop(folder / 'loop.onnx')}", "--drain-delay-seconds", "0")
    with server_process(*models) as new, server_process(*models) as old:
        new.wait_for("ready")
        old.wait_for("ready")
        both = Server("new", new), Server("old", old)
        yield both
        for server in both:
            server.close()


@pytest.fixture(scope="session")
def prometheus(servers: tuple[Server, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that scrapes both servers, and has done so."""
    ensure_packages(METRICS_PROGRAMS)
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    arguments = [
        f"--config.file={write_configuration(folder, servers)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(find_program("prometheus")), *arguments], stderr=log)
    try:
        wait_until(lambda: scraped(url) == len(servers), "Prometheus has scraped both servers", START_SECONDS)
        yield url
    finally:
        process.kill()
        process.wait(120)


def write_configuration(folder: Path, servers: tuple[Server, ...]) -> Path:
    """What discovery in a cluster gives: the labels `namespace` and `pod`."""
    targets = [
        {
            "targets": [f"127.0.0.1:{server.process.metrics_port}"],
            "labels": {"namespace": "mail", "pod": server.name},
        }
        for server in servers
    ]
    jobs = [{"job_name": "pods", "scrape_interval": "500ms", "scrape_timeout": "500ms"}]
    jobs[0]["static_configs"] = targets  # type: ignore[assignment]
    path = folder / "prometheus.yml"
    path.write_text(json.dumps({"scrape_configs": jobs}), encoding="utf-8")
    return path


def scraped(url: str) -> int:
    """How many servers Prometheus knows to be up."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query=sum(up)", timeout=5) as response:
            result = json.loads(response.read())["data"]["result"]
    except OSError:
        return 0
    return int(float(result[0]["value"][1])) if result else 0
