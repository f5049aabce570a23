"""A newer runtime comes to several services wave by wave, and one with a defect to none, under load.

The images are those of the example: one that does what the old one did, one of which some answers are NaN.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hack.cluster.api import Object
from hack.cluster.images import ImageBuild, build_and_push, build_image
from hack.demo.images import RUNTIME
from hack.load import Load
from tests.support.installation import ROOT, Installation
from tests.support.load import adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import User, condition

IMAGES = ROOT / "examples" / "04-fleet" / "images"
FIRST, SECOND = "fleet-first", "fleet-second"
ADDEND = 1.0
ROLLOUTS = "/apis/modelservice.dev/v1alpha1/runtimerollouts"
RUNTIMES = "/apis/modelservice.dev/v1alpha1/modelruntimes"
# A measurement that says nothing is no end: a busy machine needs longer for as many requests. Of 30
# answers, every other of which is NaN, all are numbers in one of a billion cases.
ANALYSIS: Object = {
    "intervalSeconds": 2,
    "count": 3,
    "minRequests": 10,
    "inconclusiveLimit": 1000,
    "metrics": [
        {"type": "ErrorRatio", "maxIncrease": "0.01"},
        {"type": "NonFiniteRatio", "maxIncrease": "0.001"},
    ],
}


class Fleet:
    """One ModelRuntime, and what a user does with it."""

    def __init__(self, user: User, installation: Installation) -> None:
        self._user, self._api = user, installation.cluster.api
        self._installation = installation
        self.runtime = f"fleet-{user.namespace}"

    def build(self, dockerfile: str, tag: str) -> str:
        """An image on that of this tree."""
        base = build_image(RUNTIME.make_build(ROOT))
        build = ImageBuild(f"tests/fleet-runtime:{tag}", IMAGES / dockerfile, IMAGES, base_image=base)
        return build_and_push(self._installation.cluster, build)

    def name_image(self, image: str) -> None:
        """What the ModelRuntime names from now on."""
        manifest = {"kind": "ModelRuntime", "metadata": {"name": self.runtime}, "spec": {"image": image}}
        self._api.apply({"apiVersion": "modelservice.dev/v1alpha1", **manifest}, manager="kubectl")

    def roll_out(self, name: str, **spec: object) -> None:
        """Apply a RuntimeRollout of two waves."""
        waves = [
            {"name": "first", "selector": {"matchLabels": {"stage": "first"}}},
            {"name": "rest", "rest": True},
        ]
        manifest = {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "RuntimeRollout",
            "metadata": {"name": name},
            "spec": {"target": {"runtime": self.runtime}, "waves": waves, "soakSeconds": 1, **spec},
        }
        self._api.apply(manifest, manager="kubectl")

    def status(self, name: str) -> Object:
        found: Object = self._api.get(f"{ROLLOUTS}/{name}").get("status", {})
        return found

    def follow(self, name: str) -> tuple[int, str]:
        """`modelservice fleet status -w`, as a user calls it: its exit code, and what it printed."""
        command = [Path(sys.executable).with_name("modelservice"), "fleet", "status", name, "-w"]
        where = ["--timeout", "240s", "--kubeconfig", str(self._installation.cluster.kubeconfig)]
        result = subprocess.run([*command, *where], capture_output=True, text=True, timeout=280, check=False)
        return result.returncode, result.stdout + result.stderr

    def images(self) -> dict[str, set[str]]:
        """The images of the pods of each service."""
        return {
            name: {
                container["image"]
                for pod in self._user.pods(name).values()
                for container in pod["spec"]["containers"]
            }
            for name in (FIRST, SECOND)
        }

    def delete(self, name: str) -> None:
        self._api.delete(f"{ROLLOUTS}/{name}")


@pytest.fixture(scope="module")
def fleet(user: User, installation: Installation) -> Iterator[Fleet]:
    """Two services of a ModelRuntime of their own, with the image of this tree."""
    fleet = Fleet(user, installation)
    fleet.name_image(installation.runtime_image)
    rollout = {"strategy": "Canary", "canary": {"steps": [{"setWeight": 50}, {"analysis": ANALYSIS}]}}
    model = user.push_adder(ADDEND)
    for name, labels in ((FIRST, {"stage": "first"}), (SECOND, {})):
        user.apply(name, model=model, replicas=1, rollout=rollout, runtime={"ref": fleet.runtime})
        user.cluster.api.patch(user.path("modelservices", name), {"metadata": {"labels": labels}})
    for name in (FIRST, SECOND):
        user.wait_ready(name)
    yield fleet
    user.cluster.api.delete(f"{RUNTIMES}/{fleet.runtime}")


@pytest.fixture
def loads(user: User, fleet: Fleet) -> Iterator[dict[str, Load]]:
    """Clients of both services; none of their requests may fail."""
    loads = {name: adder_load(user, name, keeping=1, reconnecting=1) for name in (FIRST, SECOND)}
    with ExitStack() as asked:
        for load in loads.values():
            asked.enter_context(load)
        wait_until(lambda: all(load.count() > 20 for load in loads.values()), "clients are answered")
        yield loads
        ends = {name: load.count() for name, load in loads.items()}
        wait_until(lambda: all(load.count() > ends[name] + 20 for name, load in loads.items()), "to the end")
    for name, load in loads.items():
        assert not load.failures, f"{name}: {len(load.failures)} of {load.count()}: {load.failures[:3]}"


def test_good_image_comes_to_everybody_wave_by_wave(fleet: Fleet, loads: dict[str, Load]) -> None:
    image = fleet.build("Dockerfile", "good")
    fleet.name_image(image)
    assert image not in fleet.images()[FIRST], "a ModelRuntime that changes moves nobody"

    fleet.roll_out("good")

    code, said = fleet.follow("good")
    assert code == 0, said
    wait_until(lambda: fleet.images() == {FIRST: {image}, SECOND: {image}}, "only pods of the new image")
    waves = fleet.status("good")["waves"]
    assert [(one["name"], one["updated"]) for one in waves] == [("first", 1), ("rest", 1)]
    assert waves[0]["completedAt"] <= waves[1]["startedAt"]
    fleet.delete("good")


def test_image_with_a_defect_is_stopped_in_the_first_wave(
    user: User, fleet: Fleet, loads: dict[str, Load]
) -> None:
    before = fleet.images()
    second = set(user.pods(SECOND))
    fleet.name_image(fleet.build("Dockerfile.defective", "defective"))

    fleet.roll_out("defective")

    code, said = fleet.follow("defective")
    assert code == 1, said
    status = fleet.status("defective")
    assert status["phase"] == "Halted", json.dumps(status, indent=1)
    (failure,) = status["failures"]
    assert failure["member"] == f"{user.namespace}/{FIRST}"
    assert "NonFiniteRatio" in failure["message"]
    assert "startedAt" not in status["waves"][1]
    assert condition(user.service(FIRST), "Available")["status"] == "True"
    user.wait(FIRST, lambda one: one["status"]["replicas"] == 1, "no pod of the defective image")
    wait_until(lambda: fleet.images() == before, "only pods of the image of before")
    assert set(user.pods(SECOND)) == second, "no pod of the second wave was touched"
    nan = [load.count() - load.count(ADDEND) for load in loads.values()]
    assert nan[0] > 0, "no client was answered by it"
    assert nan[1] == 0
    fleet.delete("defective")
