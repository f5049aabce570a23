"""What an operator leaves in a cluster, recorded in a small world, and another operator's look at it.

Recorded by the code of a release, from a checkout of it; nothing else of this project is imported:
`cd CHECKOUT; PYTHONPATH=operator:. python .../tests/support/release_objects.py MANIFESTS > VERSION.json`
"""

from __future__ import annotations

import copy
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.unit.operator.builders import World, make_runtime, model

Object = dict[str, Any]
CHOSEN = frozenset(
    {
        *("minimal", "everything", "s3-prefix", "pvc", "samples-in-a-file", "groups-for-a-claim"),
        *(
            "gpu-shared-renamed",
            "gpu-intel",
            "gpu-claim",
            "tensorrt-options",
            "server-options",
            "child-metadata",
        ),
        *(
            "network-policy",
            "rollout-recreate",
            "autoscaling-by-the-servers-own-signals",
            "rows-are-independent",
        ),
    }
)
"""Manifests that show what a pod template is made of."""
IGNORED = {"contract": "Ignore"}
CHANGED: dict[str, Object] = {
    "rolled": {"replicas": 3, "rollout": IGNORED},
    "canary-paused": {
        "replicas": 3,
        "rollout": {
            **IGNORED,
            "strategy": "Canary",
            "canary": {"steps": [{"setWeight": 34}, {"pause": {}}, {"setWeight": 67}]},
        },
    },
    "blue-green-waits": {
        "replicas": 2,
        "rollout": {**IGNORED, "strategy": "BlueGreen", "blueGreen": {"autoPromote": False}},
    },
}
"""Services whose model is changed after the first rollout."""


def make_world(**spec: Any) -> World:
    """A world whose default runtime has every image."""
    images = {"gpuImage": "registry.example/gpu:1", "gpuImages": {"amd.com": "registry.example/amd:1"}}
    return World(make_runtime(default=True, **images), **spec)


def record(manifests: list[Object]) -> list[Object]:
    """Services of every kind at rest, with all that belongs to them."""
    made: list[tuple[str, World]] = []
    for manifest in manifests:
        world = make_world(**manifest["spec"])
        try:
            world.settle()
        except AssertionError:
            continue  # it waits for something that this world has not
        made.append((manifest["metadata"]["name"], world))
    for name, spec in CHANGED.items():
        world = make_world(**spec)
        world.settle()
        world.edit(model=model(2))
        for _ in range(20):
            world.settle()
            world.wait(30)
        made.append((name, world))
    return [_written(name, world) for name, world in made]


def _written(name: str, world: World) -> Object:
    return {
        "name": name,
        "now": world.now.isoformat(),
        "service": world.service,
        "objects": [world.objects[place] for place in sorted(world.objects)],
    }


def writes_of_another_operator(recorded: Object) -> tuple[list[tuple[str, str]], World]:
    """What this checkout's operator writes where it finds these objects, the status left out."""
    world = make_world()
    world.service = copy.deepcopy(recorded["service"])
    world.now = datetime.fromisoformat(recorded["now"])
    for body in recorded["objects"]:
        world._apply(body)
    world.run_controllers()
    world._seen = world._led_to()
    writes = []
    for _ in range(5):
        world.reconcile()
        writes += [one for one in world.writes if one[0] != "status"]
        world.run_controllers()
        world.now += timedelta(seconds=1)
    return writes, world


if __name__ == "__main__":
    documents = yaml.safe_load_all(Path(sys.argv[1]).read_text(encoding="utf-8"))
    services = [one for one in documents if one["metadata"]["name"] in CHOSEN]
    json.dump(record(services), sys.stdout, indent=None, separators=(",", ":"))
