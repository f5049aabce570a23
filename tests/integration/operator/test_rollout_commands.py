"""The commands of `modelservice rollout` as a user runs them, on a real change of a service."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.operator_process import wait_until

from modelservice_cli.main import main, plugin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hack.cluster.cluster import Cluster


RBAC = "rbac.authorization.k8s.io/v1"
TRACKED = {"argocd.argoproj.io/tracking-id": "mail:modelservice.dev/ModelService:mail/from-git"}


class Commands:
    """Runs `rollout` in one namespace; starting a process takes longer than most of what it does."""

    def __init__(self, kubeconfig: Path, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._flags = ("--kubeconfig", str(kubeconfig), "-n", namespace)
        self._capsys = capsys

    def run(self, *arguments: str, code: int = 0, program: Callable[[list[str]], int] = main) -> str:
        """Run it to its end; returns what it printed."""
        self._capsys.readouterr()
        found = program(["rollout", *arguments, *self._flags])
        captured = self._capsys.readouterr()
        assert found == code, captured
        return captured.out + captured.err

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it as a process of its own."""
        command = (sys.executable, "-m", "modelservice_cli.main", "rollout", *arguments, *self._flags)
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE)


@pytest.fixture
def commands(shared, installed: Cluster, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(installed.kubeconfig, shared.kube.namespace, capsys)


def revisions_of(kube: Any, name: str) -> tuple[str, str]:
    """(stable, target) of a service."""
    status = kube.service(name)["status"]
    return status["stableRevision"], status["targetRevision"]


def storage_uri(kube: Any, name: str) -> str:
    return str(kube.service(name)["spec"]["model"]["storageUri"])


def test_change_is_followed_listed_compared_and_undone(shared, commands: Commands):
    kube, name = shared.kube, "followed"
    kube.apply_service(name, replicas=2)
    kube.wait_ready(name)
    first, _ = revisions_of(kube, name)
    kube.apply_service(name, tag="2", replicas=2)
    lines = commands.run("status", name, "-w", "--timeout", "120s").splitlines()
    second, target = revisions_of(kube, name)

    assert second == target != first
    assert lines[-1].startswith(f"{name}: complete; {second} (stable) 2 of 2 available")
    assert len(set(lines)) == len(lines)
    shown = json.loads(commands.run("status", name, "-o", "json", program=plugin))
    assert (shown["state"], shown["replicas"], shown["settled"]) == ("Complete", 2, True)
    assert [(one["revision"], one["available"]) for one in shown["revisions"]] == [(second, 2)]
    history = commands.run("history", name).splitlines()
    assert [line.split()[:2] for line in history[1:]] == [["1", first], ["2", second]]
    assert "spec.model.storageUri" in history[2]
    assert commands.run("diff", name).splitlines()[2:] == [
        "spec.model.storageUri",
        "- oci://registry.example/models/spam:1",
        "+ oci://registry.example/models/spam:2",
    ]

    assert "would go back" in commands.run("undo", name, "--dry-run")
    assert storage_uri(kube, name).endswith(":2")
    assert f"{name} goes back to {first}" in commands.run("undo", name)
    assert storage_uri(kube, name).endswith(":1")
    commands.run("status", name, "-w", "--timeout", "120s")
    assert revisions_of(kube, name) == (first, first)
    assert "asks for" in commands.run("undo", name, "--to-revision", first)


def test_undo_keeps_what_others_manage_and_removes_what_the_revision_had_not(shared, commands: Commands):
    kube, name = shared.kube, "kept"
    kube.apply_service(name, replicas=1)
    kube.wait_ready(name)
    kube.apply_service(name, tag="2", replicas=1, batching={"maxBatchSize": 8}, rollout={"maxSurge": 2})
    kube.wait_ready(name)
    kube.api.patch(f"{kube.path('modelservices', name)}/scale", {"spec": {"replicas": 3}})
    commands.run("undo", name)
    service = kube.service(name)

    assert service["spec"]["replicas"] == 3
    assert service["spec"]["rollout"] == {"maxSurge": 2}
    assert "batching" not in service["spec"]
    ours = [one for one in service["metadata"]["managedFields"] if one["manager"] == "modelservice-cli"]
    assert [list(one["fieldsV1"]["f:spec"]) for one in ours] == [["f:model"]]


def test_undo_of_what_comes_from_git_needs_force(shared, commands: Commands):
    kube, name = shared.kube, "from-git"
    for tag in ("1", "2"):
        body = {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"name": name, "namespace": kube.namespace, "annotations": TRACKED},
            "spec": {"model": {"storageUri": f"oci://registry.example/models/spam:{tag}"}},
        }
        kube.api.apply(body, manager="argocd-controller")
        kube.wait_ready(name)
    said = commands.run("undo", name, code=1)

    assert "Argo CD (application mail) writes the spec of from-git" in said
    assert "+ oci://registry.example/models/spam:1" in said
    assert storage_uri(kube, name).endswith(":2")
    commands.run("undo", name, "--force")
    assert storage_uri(kube, name).endswith(":1")
    assert "Argo CD" in commands.run("undo", name, "--to-revision", "2", code=1)


def test_change_that_cannot_start_ends_with_1_and_its_cause(shared, commands: Commands):
    kube, name = shared.kube, "hopeless"
    kube.apply_service(name)
    kube.wait_ready(name)
    scheduling = {"nodeSelector": {"pool": "nowhere"}}
    kube.apply_service(name, tag="2", scheduling=scheduling, rollout={"progressDeadlineSeconds": 3600})
    wait_until(lambda: kube.condition("Degraded", name).get("status") == "True", "the pod finds no node")
    assert "has not ended within 1 s" in commands.run("status", name, "-w", "--timeout", "1s", code=124)
    following = commands.start("status", name, "-w", "--timeout", "120s")
    assert following.stdout is not None
    assert "in progress" in following.stdout.readline()
    kube.apply_service(name, tag="2", scheduling=scheduling, rollout={"progressDeadlineSeconds": 1})
    out, _ = following.communicate(timeout=120)

    assert following.returncode == 1
    assert "given up, it needs you" in out.splitlines()[-1]
    assert "Unschedulable" in out.splitlines()[-1]


def test_abort_and_retry_are_answered_and_leave_the_spec_alone(shared, commands: Commands):
    kube, name = shared.kube, "aborted"
    kube.apply_service(name, replicas=2)
    kube.wait_ready(name)
    assert "nothing is being rolled out" in commands.run("abort", name)
    kube.apply_service(name, tag="2", replicas=2, scheduling={"nodeSelector": {"pool": "nowhere"}})
    kube.wait_observed(name)
    old, new = revisions_of(kube, name)
    before = kube.service(name)
    assert f"Revision {new} was aborted" in commands.run("abort", name)
    assert "RolloutAborted" in commands.run("status", name, "-w", "--timeout", "120s", code=1)
    wait_until(lambda: len(kube.children(name)["deployments"]) == 1, "the new Deployment is gone")

    after = kube.service(name)
    assert (after["spec"], after["metadata"]["generation"]) == (
        before["spec"],
        before["metadata"]["generation"],
    )
    assert after["status"]["abortedRevisions"] == [new]
    assert after["status"]["stableRevision"] == old
    assert kube.condition("Available", name)["status"] == "True"
    shared.operator.wait_at_rest(1.0)
    assert f"Revision {new} is tried again" in commands.run("retry", name)
    assert json.loads(commands.run("status", name, "-o", "json"))["state"] == "Progressing"
    assert f"Revision {new} was aborted" in commands.run("abort", name)
    commands.run("undo", name)
    assert "complete" in commands.run("status", name, "-w", "--timeout", "120s")
    states = {line.split()[1]: line.split()[3] for line in commands.run("history", name).splitlines()[1:]}
    assert states == {old: "stable", new: "aborted"}


CANARY = {
    "strategy": "Canary",
    "canary": {"steps": [{"setWeight": 50}, {"pause": {}}, {"pause": {"durationSeconds": 3600}}]},
    "contract": "Ignore",
}


def test_canary_is_followed_to_its_pause_resumed_paused_and_promoted(shared, commands: Commands):
    kube, name = shared.kube, "steered"
    kube.apply_service(name, replicas=2, rollout=CANARY)
    kube.wait_ready(name)
    assert "nothing is being rolled out" in commands.run("promote", name)
    kube.apply_service(name, tag="2", replicas=2, rollout=CANARY)
    to_its_pause = ("-w", "--until-paused", "--timeout", "120s")
    last = commands.run("status", name, *to_its_pause).splitlines()[-1]
    old, new = revisions_of(kube, name)
    before = kube.service(name)
    assert last.startswith(f"{name}: paused, it waits for you; ")
    assert "weight 50% (actual 50%), step 2 of 3: pause, the step waits for a person" in last
    assert "; say resume or promote" in commands.run("status", name, "-w", "--timeout", "1s", code=124)

    assert f"Revision {new} goes on" in commands.run("resume", name)
    wait_until(lambda: kube.service(name)["status"]["rollout"]["step"] == 2, "the next step")
    assert "step 3 of 3: pause 60 min" in commands.run("status", name, "-w", "--timeout", "1s", code=124)
    assert f"Revision {new} is paused" in commands.run("pause", name, *to_its_pause)
    assert "Nothing was done" in commands.run("pause", name, code=1)
    shown = json.loads(commands.run("status", name, "-o", "json"))
    assert (shown["state"], shown["settled"], shown["rollout"]["paused"]) == ("Paused", True, "Requested")
    assert shown["rollout"] == kube.service(name)["status"]["rollout"]

    promoted = commands.run("promote", name, "-w", "--timeout", "120s").splitlines()
    assert f"Revision {new} is promoted" in promoted[0]
    assert promoted[-1].startswith(f"{name}: complete; {new} (stable) 2 of 2 available")
    after = kube.service(name)
    assert (after["spec"], after["metadata"]["generation"]) == (
        before["spec"],
        before["metadata"]["generation"],
    )
    history = {line.split()[1]: line for line in commands.run("history", name).splitlines()[1:]}
    assert "spec.model.storageUri" in history[new]
    assert commands.run("diff", name).startswith(f"--- {old} ")


@pytest.fixture
def reader_kubeconfig(shared, installed: Cluster, tmp_path: Path) -> Path:
    """A kubeconfig of somebody who may read ModelServices and nothing else."""
    api, namespace = shared.kube.api, shared.kube.namespace
    rules = [{"apiGroups": ["modelservice.dev"], "resources": ["modelservices"], "verbs": ["get"]}]
    metadata = {"name": "reader", "namespace": namespace}
    api.create(shared.kube.path("serviceaccounts"), {"metadata": metadata})
    api.apply({"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules})
    api.apply(
        {
            "apiVersion": RBAC,
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        }
    )
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.create(shared.kube.path("serviceaccounts", "reader") + "/token", request)["status"]["token"]
    config = yaml.safe_load(installed.kubeconfig.read_text(encoding="utf-8"))
    for user in config["users"]:
        user["user"] = {"token": token}
    path = tmp_path / "reader-kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_who_may_read_the_service_only_sees_its_status_and_may_not_undo(
    shared, reader_kubeconfig: Path, capsys: pytest.CaptureFixture[str]
):
    kube, name = shared.kube, "half-seen"
    kube.apply_service(name)
    kube.wait_ready(name)
    commands = Commands(reader_kubeconfig, kube.namespace, capsys)
    said = commands.run("status", name, "-w")
    assert said.startswith(f"{name}: complete; {revisions_of(kube, name)[0]} (stable) ? of ? available")
    assert "You may not read ControllerRevisions, Deployments, Pods here" in commands.run("status", name)
    for arguments in (("history", name), ("undo", name)):
        said = commands.run(*arguments, code=1)
        assert "controllerrevisions.apps is forbidden" in said
        assert said.count("\n") == 1


def test_errors_are_one_sentence(commands: Commands, shared):
    assert commands.run("status", "nobody", code=1).count("\n") == 1
    assert "no ModelService 'nobody'" in commands.run("history", "nobody", code=1)


def test_newer_runtime_is_taken_when_asked_for_and_by_the_steps_of_the_service(shared, commands: Commands):
    kube, name = shared.kube, "newer"
    runtime = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelRuntime",
        "metadata": {"name": f"{kube.namespace}-newer"},
        "spec": {"image": "registry.example/onnx:1"},
    }
    path = kube.api.path_of(kube.api.apply(runtime))
    try:
        steps = {"steps": [{"setWeight": 50}, {"pause": {}}]}
        rollout = {"strategy": "Canary", "canary": steps}
        kube.apply_service(name, replicas=2, runtime={"ref": runtime["metadata"]["name"]}, rollout=rollout)
        kube.wait_ready(name)
        first, _ = revisions_of(kube, name)
        assert "nothing is written" in commands.run("update-runtime", name)

        kube.api.patch(path, {"spec": {"image": "registry.example/onnx:2"}})
        wait_until(
            lambda: kube.service(name)["status"]["runtime"].get("newerImage") == "registry.example/onnx:2",
            "the newer image is told",
        )
        generation = kube.service(name)["metadata"]["generation"]
        said = commands.run("update-runtime", name, "-w", "--until-paused", "--timeout", "120s")
        assert said.splitlines()[0] == f"{name}: Going to registry.example/onnx:2."
        _, second = revisions_of(kube, name)
        assert second != first
        commands.run("promote", name, "-w", "--timeout", "120s")
        assert revisions_of(kube, name) == (second, second)
        found = kube.service(name)
        assert found["metadata"]["generation"] == generation, "the spec was not written"
        assert found["status"]["runtime"]["image"] == "registry.example/onnx:2"
        assert found["status"]["runtime"]["update"]["phase"] == "Complete"

        # The next one is given up: the pods stay, and the command says so.
        kube.api.patch(path, {"spec": {"image": "registry.example/onnx:3"}})
        wait_until(lambda: "newerImage" in kube.service(name)["status"]["runtime"], "it is told")
        commands.run("update-runtime", name, "-w", "--until-paused", "--timeout", "120s")
        commands.run("abort", name)
        wait_until(
            lambda: kube.service(name)["status"]["runtime"]["update"]["phase"] == "Failed", "it was given up"
        )
        wait_until(lambda: revisions_of(kube, name) == (second, second), "the runtime from before stays")
    finally:
        kube.api.delete(path)
