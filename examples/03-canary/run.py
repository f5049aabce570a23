"""Change a served model four times under load, and see what becomes of each (`make canary`).

Nothing here decides anything: the operator promotes the good version and stops the others by itself.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from candidates import CANDIDATES, Candidate
from clients import spam_load
from hack.demo import training
from hack.demo.errors import DemoError
from hack.demo.example import GRPC_PORT, HTTP_PORT, NAMESPACE, Example, run_on_demo, run_python
from hack.demo.local import LocalTarget
from hack.demo.steps import Steps
from hack.load import Load
from record import Recorder

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "examples" / "03-canary"
OUTPUT = ROOT / "build" / "examples" / "03-canary"
TRAIN_PYTHON = ROOT / ".venv-train" / "bin" / "python"
NAME = "spam-canary"
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
        self._example = Example(steps, target, NAME)

    def run(self, picture: Path) -> bool:
        """Return whether every version ended as it should, and no request failed."""
        good, first = self._train()
        manifest = yaml.safe_load((HERE / "modelservice.yaml").read_text(encoding="utf-8"))
        manifest["spec"]["model"] |= self._example.push(first, "1")
        with self._example.served(manifest, "serving version 1 with four pods"):
            recorder = Recorder(self._example.read)
            load = spam_load(NAME, *map(self._example.address, (HTTP_PORT, GRPC_PORT)))
            with load, recorder:
                results = [self._try(one, good, load, recorder) for one in CANDIDATES]
        recorder.write(OUTPUT / "record.json")
        run_python(TRAIN_PYTHON, HERE / "picture.py", OUTPUT / "record.json", picture)
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
            run_python(
                TRAIN_PYTHON, ROOT / training.EXAMPLE / "train.py", "--output", OUTPUT / "first", *options
            )
        return good, OUTPUT / "first" / "model.onnx"

    def _try(self, candidate: Candidate, good: bytes, load: Load, recorder: Recorder) -> Result:
        """Ask for a version, and watch until it is promoted or stopped."""
        file = OUTPUT / f"model-{candidate.version}.onnx"
        file.write_bytes(candidate.make(good))
        patch = json.dumps({"spec": {"model": self._example.push(file, candidate.version)}})
        print()
        self._steps.say(f"version {candidate.version}: {candidate.what}")
        print(f"$ kubectl patch msvc {NAME} --type merge -p '{patch}'")
        self._target.kubectl.run(
            "patch", "msvc", NAME, "--namespace", NAMESPACE, "--type", "merge", "-p", patch
        )
        recorder.begin(candidate.version, candidate.what)
        print(f"$ modelservice rollout status {NAME} -w", flush=True)
        self._watch()
        rollout = self._example.read()["status"]["rollout"]
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

    def _say_results(self, results: list[Result], load: Load) -> None:
        print()
        for one in results:
            end = "promoted" if one.phase == "Complete" else "stopped"
            answered = f"{one.answered} requests answered until then"
            print(f"version {one.candidate.version} ({one.candidate.what}): {end}, {answered}. {one.why}")
        print(f"{load.count()} requests were answered, {len(load.failures)} failed.")
        for failure in load.failures[:5]:
            print(f"  {failure}")


def main() -> int:
    """Run; 0 where all went as it should."""
    parser = argparse.ArgumentParser(description="Change a served model four times under load.")
    parser.add_argument("--picture", type=Path, default=OUTPUT / "canary.png", help="default: %(default)s")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    return run_on_demo(lambda target: Canary(Steps(), target).run(options.picture))


if __name__ == "__main__":
    sys.exit(main())
