"""Ask a served model by few clients, by many, by nobody, and watch how many pods it has (`make autoscale`).

Nothing here scales anything: the pods follow the requests by themselves.
"""

import argparse
import time
from pathlib import Path

import yaml
from clients import Clients
from hack.demo import training
from hack.demo.example import HTTP_PORT, Example, run_on_demo, run_python
from hack.demo.local import LocalTarget
from hack.demo.predict import MESSAGES, build_request
from hack.demo.steps import Steps
from record import Recorder

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "examples" / "05-autoscale"
OUTPUT = ROOT / "build" / "examples" / "05-autoscale"
TRAIN_PYTHON = ROOT / ".venv-train" / "bin" / "python"
NAME = "spam-autoscale"
# So many messages in one request keep a core busy for some tens of milliseconds.
TEXTS = MESSAGES * 200
FEW, MANY, BURST = 2, 16, 200
STAGE_SECONDS, SLEEP_SECONDS = 25, 120


class Autoscale:
    """One run on the demo's cluster."""

    def __init__(self, steps: Steps, target: LocalTarget) -> None:
        self._steps = steps
        self._example = Example(steps, target, NAME)

    def run(self, picture: Path) -> bool:
        """Return whether it slept, woke and grew, and no request failed."""
        with self._steps.step("training the spam classifier"):
            model = training.train(ROOT).model
        manifest = yaml.safe_load((HERE / "modelservice.yaml").read_text(encoding="utf-8"))
        manifest["spec"]["model"] |= self._example.push(model, "1")
        with self._example.served(manifest, "serving it with one pod"):
            host, port = self._example.address(HTTP_PORT)
            clients = Clients(f"http://{host}:{port}/v2/models/{NAME}/infer", build_request(TEXTS))
            with clients, Recorder(self._example.read, clients) as recorder:
                slept = self._ask(clients, recorder)
        recorder.write(OUTPUT / "record.json")
        run_python(TRAIN_PYTHON, HERE / "picture.py", OUTPUT / "record.json", picture)
        self._say_results(clients, recorder)
        self._steps.say(f"the picture is {picture}")
        return slept and recorder.most_ready > 2 and not clients.failures

    def _ask(self, clients: Clients, recorder: Recorder) -> bool:
        for count in (FEW, MANY, FEW):
            self._steps.say(f"{count} clients")
            clients.set_count(count)
            time.sleep(STAGE_SECONDS)
        clients.set_count(0)
        self._steps.say("nobody")
        if not recorder.wait_until_asleep(SLEEP_SECONDS):
            return False
        self._steps.say(f"no pod is left; {BURST} requests at once")
        started = time.monotonic()
        clients.ask_at_once(BURST, build_request(MESSAGES))
        self._steps.say(f"  all have ended after {time.monotonic() - started:.1f} s")
        time.sleep(3)
        return True

    def _say_results(self, clients: Clients, recorder: Recorder) -> None:
        print()
        for at, message in recorder.decisions:
            print(f"{at:6.1f} s  {message}")
        if recorder.cold_start:
            phases = {name.removesuffix("Seconds"): value for name, value in recorder.cold_start.items()}
            del phases["time"]
            print("cold start: " + ", ".join(f"{name} {value} s" for name, value in phases.items()))
        print(f"{len(clients.answered)} requests were answered, {len(clients.failures)} failed.")
        for failure in clients.failures[:5]:
            print(f"  {failure}")


def main() -> int:
    """Run; 0 where all went as it should."""
    parser = argparse.ArgumentParser(description="Pods that follow their requests.")
    parser.add_argument("--picture", type=Path, default=OUTPUT / "autoscale.png", help="default: %(default)s")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    return run_on_demo(lambda target: Autoscale(Steps(), target).run(options.picture))


if __name__ == "__main__":
    raise SystemExit(main())
