"""Change a served model four times under load, and see what becomes of each (`make canary`).

Nothing here decides anything: the operator promotes the good version and stops the others by itself.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from candidates import CANDIDATES, Candidate
from clients import spam_load
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.demo import training
from hack.demo.errors import DemoError
from hack.demo.local import NAME as CLUSTER
from hack.demo.local import LocalTarget
from hack.demo.steps import Steps
from hack.load import Load
from record import Recorder

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "examples" / "03-canary"
OUTPUT = ROOT / "build" / "examples" / "03-canary"
TRAIN_PYTHON = ROOT / ".venv-train" / "bin" / "python"
NAMESPACE, NAME = "default", "spam-canary"
GRPC_PORT = 9000
# So early the training is stopped that the first version is worse than the next one, and still a classifier.
FIRST_EPOCHS, FIRST_MINIMUM_F1 = 2, 0.8


@dataclass(frozen=True)
class Result:
    """What became of one version."""

    candidate: Candidate
    phase: str
    why: str
    answered: int


class Canary:
    """One run on the demo's cluster."""

    def __init__(self, steps: Steps, target: LocalTarget) -> None:
        self._steps = steps
        self._target = target
        self._api = target.cluster.api
        self._path = f"/apis/modelservice.dev/v1alpha1/namespaces/{NAMESPACE}/modelservices/{NAME}"

    def run(self, picture: Path) -> bool:
        """Return whether every version ended as it should, and no request failed."""
        good, first = self._train()
        with self._served(first):
            recorder, load = Recorder(self._read), self._load()
            with load, recorder:
                results = [self._try(one, good, load, recorder) for one in CANDIDATES]
        recorder.write(OUTPUT / "record.json")
        _run([TRAIN_PYTHON, HERE / "picture.py", OUTPUT / "record.json", picture])
        self._say_results(results, load)
        self._steps.say(f"the picture is {picture}")
        return not load.failures and all(
            (one.phase == "Complete") == one.candidate.is_good for one in results
        )

    def _train(self) -> tuple[bytes, Path]:
        """Return the good model, and the file of the first one."""
        with self._steps.step("training two spam classifiers, the first one not for long"):
            good = training.train(ROOT).model.read_bytes()
            options = ["--epochs", str(FIRST_EPOCHS), "--minimum-f1", str(FIRST_MINIMUM_F1)]
            _run([TRAIN_PYTHON, ROOT / training.EXAMPLE / "train.py", "--output", OUTPUT / "first", *options])
        return good, OUTPUT / "first" / "model.onnx"

    @contextmanager
    def _served(self, first: Path) -> Iterator[None]:
        """The first version, served; nothing of it stays."""
        manifest = yaml.safe_load((HERE / "modelservice.yaml").read_text(encoding="utf-8"))
        manifest["spec"]["model"] |= self._push(first, "1")
        kubectl = self._target.kubectl
        where = (f"modelservice/{NAME}", "--namespace", NAMESPACE)
        try:
            with self._steps.step("serving version 1 with four pods"):
                kubectl.run("apply", "--namespace", NAMESPACE, "-f", "-", stdin=yaml.safe_dump(manifest))
                kubectl.run("wait", "--for=condition=Ready", *where, "--timeout=300s")
            yield
        finally:
            with self._steps.step("deleting it"):
                kubectl.run("delete", *where, "--ignore-not-found", "--cascade=foreground")

    def _push(self, model: Path, version: str) -> dict[str, Any]:
        """Push a version; return the fields of `spec.model` that name it."""
        repository = f"models/{NAME}"
        layer, _ = self._target.registry.push_model(repository, version, model)
        uri = f"oci://{self._target.registry_name}/{repository}:{version}"
        return {
            "storageUri": uri,
            "sha256": str(layer["digest"]).removeprefix("sha256:"),
            "version": version,
        }

    def _load(self) -> Load:
        service = self._api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}")
        forwards = [
            self._target.cluster.forward(service["spec"]["clusterIP"], port) for port in (80, GRPC_PORT)
        ]
        rest, grpc = (("127.0.0.1", port) for port in forwards)
        return spam_load(NAME, rest, grpc)

    def _try(self, candidate: Candidate, good: bytes, load: Load, recorder: Recorder) -> Result:
        """Ask for a version, and watch until it is promoted or stopped."""
        file = OUTPUT / f"model-{candidate.version}.onnx"
        file.write_bytes(candidate.make(good))
        patch = json.dumps({"spec": {"model": self._push(file, candidate.version)}})
        print()
        self._steps.say(f"version {candidate.version}: {candidate.what}")
        print(f"$ kubectl patch msvc {NAME} --type merge -p '{patch}'")
        self._target.kubectl.run(
            "patch", "msvc", NAME, "--namespace", NAMESPACE, "--type", "merge", "-p", patch
        )
        recorder.begin(candidate.version, candidate.what)
        print(f"$ modelservice rollout status {NAME} -w", flush=True)
        self._watch()
        rollout = self._read()["status"]["rollout"]
        recorder.end(rollout["phase"])
        why = f"{rollout['reason']}: {rollout.get('message', '')}" if rollout.get("reason") else ""
        return Result(candidate, rollout["phase"], why, load.count(candidate.version))

    def _watch(self) -> None:
        """Its exit code says whether the version was promoted; the status says more."""
        command = [Path(sys.executable).with_name("modelservice"), "rollout", "status", NAME, "-w"]
        where = ["--namespace", NAMESPACE, "--timeout", "10m"]
        environment = {**os.environ, "KUBECONFIG": str(self._target.cluster.kubeconfig)}
        code = subprocess.run([*command, *where], env=environment, check=False).returncode
        if code not in (0, 1):
            raise DemoError(f"modelservice rollout status ended with {code}")

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get(self._path)
        return found

    def _say_results(self, results: list[Result], load: Load) -> None:
        print()
        for one in results:
            end = "promoted" if one.phase == "Complete" else "stopped"
            answered = f"{one.answered} requests answered until then"
            print(f"version {one.candidate.version} ({one.candidate.what}): {end}, {answered}. {one.why}")
        print(f"{load.count()} requests were answered, {len(load.failures)} failed.")
        for failure in load.failures[:5]:
            print(f"  {failure}")


def _run(command: list[str | Path]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise DemoError(f"{Path(command[1]).name} failed:\n{result.stderr[-2000:].strip()}")


def main() -> int:
    """Run; 0 where all went as it should."""
    parser = argparse.ArgumentParser(description="Change a served model four times under load.")
    parser.add_argument("--picture", type=Path, default=OUTPUT / "canary.png", help="default: %(default)s")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(CLUSTER)
    try:
        if not cluster.status():
            raise DemoError("the demo does not run: `make demo` starts it")
        return 0 if Canary(Steps(), LocalTarget(cluster)).run(options.picture) else 1
    except (DemoError, ClusterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
