"""Debian's Prometheus as a process of a test, and what it is asked."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hack.cluster.packages import ensure_packages, find_program
from hack.cluster.testing import METRICS_PROGRAMS
from tests.support.operator_process import wait_until
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SCRAPE = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}


@dataclass(frozen=True)
class Target:
    """An address to scrape, with the labels that discovery in a cluster would give it."""

    port: int
    labels: dict[str, str]
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, NaN ones left out.

        AssertionError where it is no PromQL, OSError where Prometheus does not answer yet.
        """
        try:
            answer = self._get("query", {"query": expression})
        except urllib.error.HTTPError as error:
            if (
                error.code == http.client.SERVICE_UNAVAILABLE
            ):  # it is starting: no answer, as without a socket
                raise
            raise AssertionError(f"{expression}: {json.load(error)['error']}") from error
        if answer["resultType"] == "scalar":
            return [{"metric": {}, "value": answer["result"]}]
        series: list[dict[str, Any]] = answer["result"]
        return [one for one in series if not math.isnan(float(one["value"][1]))]

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=120) as response:
            return json.load(response)["data"]


@contextlib.contextmanager
def running_prometheus(folder: Path, targets: Sequence[Target]) -> Iterator[Prometheus]:
    """One that scrapes these twice a second, with `honorLabels`; each was scraped once."""
    ensure_packages(METRICS_PROGRAMS)
    static = [{"targets": [f"{one.host}:{one.port}"], "labels": one.labels} for one in targets]
    job = {"job_name": "pods", "honor_labels": True, **SCRAPE, "static_configs": static}
    configuration, port = folder / "prometheus.yml", free_port()
    configuration.write_text(json.dumps({"scrape_configs": [job]}), encoding="utf-8")
    command = [
        str(find_program("prometheus")),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    found = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _scraped(found) == len(targets), "Prometheus has scraped everything")
        yield found
    finally:
        process.kill()
        process.wait(120)


def _scraped(prometheus: Prometheus) -> int:
    try:
        return len(prometheus.ask("up == 1"))
    except OSError:
        return 0
