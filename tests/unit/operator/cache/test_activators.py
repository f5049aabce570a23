"""The activator's pods: news is who is ready, and nothing else."""

from typing import Any

from modelservice_operator.cache.activators import ActivatorPods


def make_slice(name: str = "activator-x1", **ready: bool) -> dict[str, Any]:
    """A slice of Kubernetes with these pods, ready or not."""
    endpoints = [
        {
            "addresses": [f"10.0.0.{index}"],
            "conditions": {"ready": is_ready, "terminating": not is_ready},
            "targetRef": {"kind": "Pod", "name": pod, "uid": f"uid-{pod}"},
        }
        for index, (pod, is_ready) in enumerate(ready.items())
    ]
    return {
        "metadata": {"name": name, "namespace": "system"},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8081}],
    }


class Told:
    def __init__(self) -> None:
        self.times = 0
        self.pods = ActivatorPods("system", self)

    def __call__(self) -> None:
        self.times += 1

    def ready(self) -> list[str | None]:
        return [endpoint.pod for one in self.pods.now.slices for endpoint in one.endpoints]


def test_change_of_the_ready_ones_is_told_once() -> None:
    told = Told()
    told.pods.on_object(None, make_slice(a=True, b=False))
    assert (told.times, told.ready()) == (0, [])  # a list is told of as a whole
    told.pods.on_list({("system", "activator-x1")}, "7")
    assert (told.times, told.ready()) == (1, ["a"])
    told.pods.on_object("MODIFIED", make_slice(a=True, b=False, c=False))
    assert told.times == 1
    told.pods.on_object("MODIFIED", make_slice(a=False, b=True))
    assert (told.times, told.ready()) == (2, ["b"])


def test_slice_that_is_deleted_or_missing_from_a_list_is_forgotten() -> None:
    told = Told()
    told.pods.on_object("ADDED", make_slice("one", a=True))
    told.pods.on_object("ADDED", make_slice("two", b=True))
    assert told.ready() == ["a", "b"]
    told.pods.on_object("DELETED", make_slice("one", a=True))
    assert told.ready() == ["b"]
    told.pods.on_list(set(), "9")
    assert told.ready() == []
