"""The real operator as a child process of a test, and what a test asks it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import yaml
from hack.cluster.api import pause
from tests.support.ports import free_port

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 120.0


def wait_until(condition: Callable[[], object], what: str, timeout_seconds: float = 120.0) -> None:
    """Poll until `condition` is true; AssertionError saying `what` after the timeout."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + timeout_seconds, f"not within {timeout_seconds:.0f} s: {what}"
        pause(began)


def sum_of(page: str, name: str, **labels: str) -> float:
    """Sum of the samples of one metric with these labels in what a scrape got."""
    total = 0.0
    for line in page.splitlines():
        series, _, value = line.rpartition(" ")
        head, _, rest = series.partition("{")
        if head == name and all(f'{key}="{wanted}"' in rest for key, wanted in labels.items()):
            total += float(value)
    return total


def proxy_kubeconfig(path: Path, url: str) -> Path:
    """A kubeconfig for a plain HTTP address that needs no credentials."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
        "current-context": "proxy",
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@dataclass(frozen=True, kw_only=True)
class OperatorOptions:
    """How one replica is started."""

    kubeconfig: Path
    namespace: str
    """The namespace that it serves and that holds its Lease: tests share a cluster."""
    log: Path
    identity: str = "operator-0"
    flags: tuple[str, ...] = ()
    is_clusterwide: bool = False
    """Whether it serves all namespaces; its Lease is in that one all the same."""
    module: str = "modelservice_operator"
    """Or another component of ours, which is started alike."""


class OperatorProcess:
    """One replica. `start` may be called again after `kill` or `stop`."""

    def __init__(self, options: OperatorOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def start(self) -> OperatorProcess:
        """Start the process without waiting for anything."""
        options = self._options
        command = [
            *(sys.executable, "-m", options.module),
            *("--kubeconfig", str(options.kubeconfig)),
            *(() if options.is_clusterwide else ("--namespace", options.namespace)),
            *("--lease-namespace", options.namespace),
            *("--http-host", "127.0.0.1", "--http-port", str(self.port)),
            *options.flags,
        ]
        with options.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stderr=log,
                stdout=log,
                cwd=ROOT / "operator",
                env={**os.environ, "POD_NAME": options.identity},
            )
        return self

    def wait_ready(self) -> OperatorProcess:
        """Wait until the cache is synced."""
        wait_until(self.is_ready, "the operator is ready", START_TIMEOUT_SECONDS)
        return self

    def wait_leading(self) -> OperatorProcess:
        """Wait until this replica holds the Lease."""
        leader = f"{self._options.module}_leader"
        wait_until(lambda: self.metric(leader) == 1, "this replica leads")
        return self

    def is_ready(self) -> bool:
        """What `/readyz` says; AssertionError with the log's end if the process has ended."""
        assert self.process.poll() is None, (
            f"the operator ended with {self.process.returncode}: {self.log_tail()}"
        )
        return self._get("/readyz") is not None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def is_running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process."""
        self.process.send_signal(number)

    def wait_at_rest(self, quiet_seconds: float = 3.0, timeout_seconds: float = 120.0) -> OperatorProcess:
        """Wait until it has nothing to do and nothing to say: what was debounced or due has come."""
        names = ("modelservice_operator_reconcile_total", "modelservice_operator_writes_total")
        seen: list[float] = []
        since = time.monotonic()

        def is_quiet() -> bool:
            nonlocal seen, since
            page = self.page()
            now = [sum_of(page, name) for name in names]
            if now != seen or sum_of(page, "modelservice_operator_queue_depth") > 0:
                seen, since = now, time.monotonic()
            return time.monotonic() - since >= quiet_seconds

        wait_until(is_quiet, "nothing is reconciled or written any more", timeout_seconds)
        return self

    def kill(self) -> None:
        """SIGKILL, as a node's death or the kernel's OOM killer would."""
        if self.is_running():
            self.process.kill()
        if self._process is not None:
            self._process.wait(120)

    def kill_now(self) -> None:
        """SIGKILL without waiting for the end, for use inside a proxy."""
        self.process.kill()

    def stop(self, timeout_seconds: float = 120.0) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout_seconds)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of one metric with these labels; 0 where there are none or no answer."""
        return sum_of(self.page(), name, **labels)

    def page(self) -> str:
        """What a scrape gets; empty where there is no answer."""
        return self._get("/metrics") or ""

    def log_tail(self, lines: int = 30) -> str:
        """The end of the log."""
        return "\n".join(self._options.log.read_text(encoding="utf-8").splitlines()[-lines:])

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None


class Killer:
    """Kills an operator again and again, some seconds after it leads, and starts it anew."""

    def __init__(self, operator: OperatorProcess, seconds: float = 5.0) -> None:
        self._operator = operator
        self._seconds = seconds
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")
        self.kills = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ends.wait(self._seconds):
            self._operator.kill()
            self._operator.start().wait_leading()
            self.kills += 1
