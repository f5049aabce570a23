"""Bring a newer runtime to four services in waves, then one with a defect, under load (`make fleet`).

Nothing here decides anything: each service takes the image by its own canary, and the operator lets the next
ones start only while that goes well.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hack.cluster.images import ImageBuild, build_and_push, build_image
from hack.demo import training
from hack.demo.errors import DemoError
from hack.demo.example import HTTP_PORT, NAMESPACE, Example, run_on_demo
from hack.demo.images import RUNTIME
from hack.demo.local import LocalTarget
from hack.demo.predict import MESSAGES, build_request
from hack.demo.steps import Steps
from hack.load import Load, rest_client

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "examples" / "04-fleet"
IMAGES = HERE / "images"
SERVICES: dict[str, dict[str, str]] = {
    "fleet-first": {"stage": "first"},
    "fleet-mail": {"stage": "standard"},
    "fleet-shop": {"stage": "standard"},
    "fleet-vip": {"stage": "vip"},
}
RUNTIME_NAME = "fleet-demo"
ENDED_WELL, ENDED_BADLY = 0, 1


class Fleet:
    """One run on the demo's cluster."""

    def __init__(self, steps: Steps, target: LocalTarget) -> None:
        self._steps = steps
        self._target = target
        self._examples = {name: Example(steps, target, name) for name in SERVICES}

    def run(self) -> bool:
        """Return whether the good image reached everybody, the other one nobody, and no request failed."""
        with self._served():
            loads = {name: self._load(name) for name in SERVICES}
            with ExitStack() as asked:
                for load in loads.values():
                    asked.enter_context(load)
                went_well = self._try_both()
            return self._say_results(loads) == 0 and went_well

    def _try_both(self) -> bool:
        newer = self._release("newer", "Dockerfile", "2")
        went_well = self._roll_out("fleet-demo-newer", approve=True) == ENDED_WELL
        is_everywhere = set(self._images().values()) == {newer}
        self._release("defective", "Dockerfile.defective", "3")
        was_stopped = self._roll_out("fleet-demo-defective", approve=False) == ENDED_BADLY
        return went_well and is_everywhere and was_stopped and set(self._images().values()) == {newer}

    @contextmanager
    def _served(self) -> Iterator[None]:
        """The ModelRuntime with the image of the demo, and the services; nothing of them stays."""
        kubectl = self._target.kubectl
        self._apply_runtime(self._target.provide_image(RUNTIME, ROOT))
        manifest = yaml.safe_load((HERE / "modelservice.yaml").read_text(encoding="utf-8"))
        manifest["spec"]["model"] |= self._examples["fleet-first"].push(training.train(ROOT).model, "1")
        documents = [
            manifest | {"metadata": {"name": name, "labels": labels}} for name, labels in SERVICES.items()
        ]
        names = [f"modelservice/{name}" for name in SERVICES]
        where = ("--namespace", NAMESPACE)
        try:
            with self._steps.step("serving four services"):
                kubectl.run("apply", *where, "-f", "-", stdin=yaml.safe_dump_all(documents))
                kubectl.run("wait", "--for=condition=Ready", *names, *where, "--timeout=300s")
            yield
        finally:
            with self._steps.step("deleting them"):
                rollouts = [f"runtimerollout/fleet-demo-{what}" for what in ("newer", "defective")]
                kubectl.run("delete", *rollouts, "--ignore-not-found")
                kubectl.run("delete", *names, *where, "--ignore-not-found", "--cascade=foreground")
                kubectl.run("delete", f"modelruntime/{RUNTIME_NAME}", "--ignore-not-found")

    def _load(self, name: str) -> Load:
        """Clients of one service, on a kept connection and on new ones."""
        address = self._examples[name].address(HTTP_PORT)
        path = f"/v2/models/{name}/infer"
        ask = partial(rest_client, address, path, build_request(MESSAGES), lambda _answer: "answered")
        return Load(keeping=[ask], reconnecting=[ask], pause_seconds=0.05)

    def _release(self, what: str, dockerfile: str, tag: str) -> str:
        """Build an image on that of the demo, and let the ModelRuntime name it: nothing moves."""
        with self._steps.step(f"a {what} image of the runtime"):
            base = build_image(RUNTIME.make_build(ROOT))
            build = ImageBuild(f"fleet-demo-runtime:{tag}", IMAGES / dockerfile, IMAGES, base_image=base)
            image = build_and_push(self._target.cluster, build)
            self._apply_runtime(image)
        return image

    def _apply_runtime(self, image: str) -> None:
        runtime = {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelRuntime",
            "metadata": {"name": RUNTIME_NAME},
            "spec": {"image": image},
        }
        self._target.kubectl.run("apply", "-f", "-", stdin=json.dumps(runtime))

    def _roll_out(self, name: str, *, approve: bool) -> int:
        """Show the plan, apply it and watch; returns with what watching ended."""
        rollout = yaml.safe_load((HERE / "runtimerollout.yaml").read_text(encoding="utf-8"))
        rollout["metadata"]["name"] = name
        file = ROOT / "build" / "examples" / "04-fleet" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(rollout, sort_keys=False), encoding="utf-8")
        self._fleet("plan", "-f", str(file.relative_to(ROOT)))
        self._target.kubectl.run("apply", "-f", str(file))
        code = self._fleet("status", name, "-w", "--until-paused", "--timeout", "10m")
        return self._fleet("approve", name, "-w", "--timeout", "10m") if approve and code == 0 else code

    def _fleet(self, *arguments: str) -> int:
        """`modelservice fleet`, as you would type it; returns the exit code."""
        print(f"\n$ modelservice fleet {' '.join(arguments)}", flush=True)
        command = [Path(sys.executable).with_name("modelservice"), "fleet", *arguments]
        environment = {**os.environ, "KUBECONFIG": str(self._target.cluster.kubeconfig)}
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if code not in (ENDED_WELL, ENDED_BADLY):
            raise DemoError(f"modelservice fleet ended with {code}")
        return code

    def _images(self) -> dict[str, Any]:
        """The image of each service's pods."""
        return {name: one.read()["status"]["runtime"]["image"] for name, one in self._examples.items()}

    def _say_results(self, loads: dict[str, Load]) -> int:
        print()
        for name, image in self._images().items():
            load = loads[name]
            print(f"{name}: {image}, {load.count()} requests answered, {len(load.failures)} failed")
        failures = [failure for load in loads.values() for failure in load.failures]
        for failure in failures[:5]:
            print(f"  {failure}")
        return len(failures)


if __name__ == "__main__":
    sys.exit(run_on_demo(lambda target: Fleet(Steps(), target).run()))
