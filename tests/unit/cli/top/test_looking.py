"""Looks at pods that are a real server, or are none, or may not be asked."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.unit.operator.builders import Object, make_model_service, make_pod, make_ready_pod
from tests.unit.runtime.onnx_models import save_mlp
from tests.unit.runtime.server_thread import ServerThread

from modelservice_cli.rollout.cluster.errors import ForbiddenError, UnavailableError
from modelservice_cli.rollout.report import as_text
from modelservice_cli.top.looking import Watcher
from modelservice_cli.top.run import report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from modelservice_cli.rollout.cluster.api import Cluster

MLP = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


class World:
    """An API server: pods `pod-1` (the server), `pod-2` (does not answer), `pod-3` (is not ready)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.error: Exception | None = None
        self.asked: set[str] = set()

    def read_service(self, _namespace: str, name: str) -> Object:
        return make_model_service(name, replicas=3)

    def list_services(self, namespace: str) -> list[Object]:
        return [self.read_service(namespace, name) for name in ("spam", "other")]

    def list_pods(self, _namespace: str, service: str = "") -> list[Object]:
        assert service in ("", "spam")
        pods = [make_ready_pod("abc", "pod-1"), make_ready_pod("abc", "pod-2"), make_pod("abc", "pod-3")]
        for pod in pods:
            pod["metadata"]["uid"] = pod["metadata"]["name"]
        return pods

    def ask_pod(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        assert (namespace, port) == ("mail", 8082)
        self.asked.add(pod)
        if self.error is not None:
            raise self.error
        if pod == "pod-2":
            raise UnavailableError("it hangs")
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=120) as response:
            return bytes(response.read())


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    path: Path = save_mlp(tmp_path_factory.mktemp("models") / "mlp.onnx")
    with ServerThread({"mlp": path}) as running:
        yield running


def watch(world: Any, name: str | None = "spam") -> Watcher:
    return Watcher(cast("Cluster", world), "mail", name)


def test_second_look_tells_what_happened_since_the_first(serving: ServerThread) -> None:
    world = World(serving.metrics_port)
    watcher = watch(world)
    (first,) = watcher.look()
    assert [pod.busy for pod in first.pods] == [None, None, None]
    for _ in range(3):
        assert serving.infer("mlp", [MLP]).status == 200
    (second,) = watcher.look()

    busy, *others = [pod.busy for pod in second.pods]
    assert busy is not None
    assert busy.counts.requests == 3
    assert busy.requests_per_second > 0
    assert busy.p99_seconds is not None
    assert busy.memory_bytes > 1 << 20
    assert others == [None, None]
    assert second.busy == busy
    assert world.asked == {"pod-1", "pod-2"}
    assert (second.ready, second.wanted, watcher.notes) == (2, 3, ())
    assert "spam: 2 of 3 pods are ready" in as_text(report(watcher, [second]))


def test_all_services_of_a_namespace_are_shown(serving: ServerThread) -> None:
    watcher = watch(World(serving.metrics_port), None)
    text = as_text(report(watcher, watcher.look()))
    assert [line.split()[0] for line in text.splitlines()] == ["NAME", "other", "spam"]


def test_whoever_may_not_ask_pods_is_told_so_and_sees_the_rest(serving: ServerThread) -> None:
    world = World(serving.metrics_port)
    world.error = ForbiddenError("no")
    watcher = watch(world)
    (row,) = watcher.look()
    assert [pod.busy for pod in row.pods] == [None] * 3
    assert "pods/proxy" in as_text(report(watcher, [row]))
    world.error = None
    watcher.look()
    assert watcher.notes == ()


@pytest.mark.parametrize("answer", [b"", b"{}", b"<html>", b"\xff", b'{"uptimeSeconds": "x"}'])
def test_pod_that_answers_something_else_is_shown_without_numbers(answer: bytes) -> None:
    world = World(0)
    world.ask_pod = lambda *_: answer  # type: ignore[method-assign]
    (row,) = watch(world).look()
    assert row.busy is None
