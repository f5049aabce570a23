"""What `helm test` runs: a pod that asks every component whether it is ready."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.chart import RELEASE, Chart, Object, find_object

COMPONENTS = ("operator", "autoscaler", "activator")
ADDRESS = "127.0.0.9"
VARIABLES = {f"MODELSERVICE_OPERATOR_TEST_{one.upper()}_SERVICE_HOST": ADDRESS for one in COMPONENTS}


class Component(BaseHTTPRequestHandler):
    """Answers as a component does: ready when `answers` says so, and from then on."""

    answers: list[int]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def component() -> Iterator[type[Component]]:
    """The handler of a server at port 8081 of an address that nobody else uses."""
    handler = type("Handler", (Component,), {"answers": [200], "asked": []})
    with ThreadingHTTPServer((ADDRESS, 8081), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def objects(chart: Chart) -> list[Object]:
    return chart.render(tests=True)


def run(objects: list[Object], variables: dict[str, str], *, patience: str = "60") -> tuple[int, str]:
    """Run what the pod runs, with this patience in seconds instead of a minute."""
    (container,) = find_object(objects, "Pod", f"{RELEASE}-test")["spec"]["containers"]
    script, *services = container["args"]
    assert script.count("+ 60") == 1
    command = [sys.executable, "-c", script.replace("+ 60", f"+ {patience}"), *services]
    environ = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()} | variables
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_every_component_is_asked_until_it_is_ready(objects, component):
    component.answers[:] = [503, 200]
    code, output = run(objects, VARIABLES)
    assert (code, component.asked) == (0, ["/readyz"] * 4)
    assert output.split("\n")[:3] == [f"{RELEASE}-test-{one} 200" for one in COMPONENTS]


def test_component_that_is_not_ready_fails_the_test_by_its_name(objects, component):
    component.answers[:] = [200, 503]
    code, output = run(objects, VARIABLES, patience="0")
    assert code == 1
    assert f"{RELEASE}-test-autoscaler is not ready: HTTP Error 503" in output


def test_service_that_the_kubelet_does_not_know_is_named(objects):
    code, output = run(objects, {})
    assert code == 1
    assert f"{RELEASE}-test-operator yet" in output


def test_objects_are_hooks_that_go_and_choose_the_components_pods(objects):
    deployments = {one["metadata"]["name"]: one for one in objects if one["kind"] == "Deployment"}
    hooks = [one for one in objects if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    hooks = [one for one in hooks if one["metadata"]["annotations"]["helm.sh/hook"] == "test"]
    assert len(hooks) == 4
    for one in hooks:
        assert (
            "before-hook-creation,hook-succeeded"
            in one["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        )
    for service in (one for one in hooks if one["kind"] == "Service"):
        suffix = service["metadata"]["name"].rpartition("-")[2]
        name = RELEASE if suffix == "operator" else f"{RELEASE}-{suffix}"
        assert service["spec"]["selector"] == deployments[name]["spec"]["selector"]["matchLabels"]


def test_only_what_is_installed_is_asked_and_names_have_room(chart):
    name = "a-release-with-the-longest-name-that-helm-does-allow"
    values = {"autoscaler": {"enabled": False}}
    rendered = chart.render(values, tests=True, release=name)
    assert len(name) < 54
    services = [one["metadata"]["name"] for one in rendered if one["kind"] == "Service"]
    assert not [one for one in services if "autoscaler" in one]
    for objects in (rendered, chart.render(release=name, tests=True)):
        assert all(len(one["metadata"]["name"]) <= 63 for one in objects if one["kind"] in ("Service", "Pod"))


def test_pod_meets_pod_security_restricted_and_has_no_token(objects):
    pod = find_object(objects, "Pod", f"{RELEASE}-test")["spec"]
    operator = find_object(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == operator["securityContext"]
    assert pod["containers"][0]["securityContext"] == operator["containers"][0]["securityContext"]
    assert pod["containers"][0]["image"] == operator["containers"][0]["image"]
    assert pod["automountServiceAccountToken"] is False
