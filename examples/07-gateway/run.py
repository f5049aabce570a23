"""Change a model behind a real gateway, and count which version answers (`make gateway`).

Nothing here decides anything: the operator writes the route, and Traefik splits the requests by it.
"""

import http.client
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from hack.cluster.gateways import Traefik, install_gateway_api, running_traefik
from hack.demo import training
from hack.demo.errors import DemoError
from hack.demo.example import NAMESPACE, Example, run_on_demo
from hack.demo.local import LocalTarget
from hack.demo.predict import MESSAGES, build_request
from hack.demo.steps import Steps

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "examples" / "07-gateway"
NAME, HOST = "spam-gateway", "spam.example.com"
REQUESTS = 2000
PATIENCE_SECONDS = 180.0


class GatewayExample:
    """One run on the demo's cluster."""

    def __init__(self, steps: Steps, target: LocalTarget) -> None:
        self._steps = steps
        self._target = target
        self._example = Example(steps, target, NAME)

    def run(self) -> bool:
        """Return whether every share was what its step says."""
        model = training.train(ROOT).model
        with self._steps.step("installing the Gateway API, starting Traefik"):
            install_gateway_api(self._target.cluster.api)
        with (
            tempfile.TemporaryDirectory() as folder,
            running_traefik(self._target.cluster, Path(folder)) as gateway,
        ):
            self._target.kubectl.run("apply", "-f", str(HERE / "gateway.yaml"))
            manifest = yaml.safe_load((HERE / "modelservice.yaml").read_text(encoding="utf-8"))
            manifest["spec"]["model"] |= self._example.push(model, "1")
            with self._example.served(manifest, "serving version 1 with two pods"):
                self._wait("the gateway takes the route", _is_routed)
                return self._change(gateway, model)

    def _change(self, gateway: Traefik, model: Path) -> bool:
        self._patch({"spec": {"model": self._example.push(model, "2")}})
        shares = []
        for step, weight in ((1, 1), (3, 30)):
            self._wait(f"weight {weight}", lambda one, step=step: _is_paused(one, step))
            found = count_versions(gateway, REQUESTS)
            testers = count_versions(gateway, 20, {"X-Tester": "yes"})
            share = 100 * found["2"] / REQUESTS
            print(
                f"weight {weight}: {share:.1f} % of {REQUESTS} requests were answered by version 2, "
                f"{testers['2']} of 20 testers too"
            )
            shares.append(abs(share - weight) < 1 and testers["2"] == 20)
            self._say("resume")
        self._wait("version 2 serves alone", lambda one: one["status"]["rollout"]["phase"] == "Complete")
        return all(shares) and count_versions(gateway, 100) == {"2": 100}

    def _say(self, verb: str) -> None:
        target = self._example.read()["status"]["targetRevision"]
        step = self._example.read()["status"]["rollout"]["step"]
        action = {"modelservice.dev/rollout-action": f"{verb}@{target}@{step}"}
        self._patch({"metadata": {"annotations": action}})

    def _patch(self, patch: dict[str, Any]) -> None:
        text = json.dumps(patch)
        print(f"$ kubectl patch msvc {NAME} --type merge -p '{text}'")
        self._target.kubectl.run(
            "patch", "msvc", NAME, "--namespace", NAMESPACE, "--type", "merge", "-p", text
        )

    def _wait(self, what: str, is_so: Any) -> None:
        with self._steps.step(what):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not is_so(found := self._example.read()):
                if time.monotonic() > deadline:
                    raise DemoError(f"{what}: not so after {PATIENCE_SECONDS:.0f} s: {found.get('status')}")
                time.sleep(0.5)


def count_versions(gateway: Traefik, requests: int, headers: dict[str, str] | None = None) -> Counter[str]:
    """Ask so many times through the gateway; return how often which version of the model answered."""
    connection = http.client.HTTPConnection(*gateway.address(), timeout=30)
    body = json.dumps(build_request(MESSAGES))
    found: Counter[str] = Counter()
    for _ in range(requests):
        everything = {"Host": HOST, "Content-Type": "application/json", **(headers or {})}
        connection.request("POST", f"/v2/models/{NAME}/infer", body, everything)
        response = connection.getresponse()
        content = response.read()
        if response.status != http.client.OK:
            raise DemoError(f"the gateway answered {response.status}: {content.decode()}")
        found[json.loads(content)["model_version"]] += 1
    connection.close()
    return found


def _is_routed(service: dict[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in service["status"]["conditions"]}
    return conditions.get("RouteReady") == "True"


def _is_paused(service: dict[str, Any], step: int) -> bool:
    rollout = service["status"]["rollout"]
    return rollout["phase"] == "Paused" and rollout["step"] == step


if __name__ == "__main__":
    sys.exit(run_on_demo(lambda target: GatewayExample(Steps(), target).run()))
