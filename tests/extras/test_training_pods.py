"""A training run on two real pods: they meet by name, train together, and go on when one is killed."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster import testing
from hack.cluster.api import condition_status
from hack.cluster.images import build_and_push
from hack.demo.images import RUNTIME
from hack.demo.kubectl import Kubectl
from tests.support.cluster_dns import names_of
from tests.support.serve_command import COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hack.cluster.api import Object
    from hack.cluster.cluster import Cluster

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / ".venv-train/lib/python3.11/site-packages"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
NAME = "line"
FIRST, SECOND = f"{NAME}-0", f"{NAME}-1"
TORCH = "/mnt/torch"
STEPS = 5
"""So many before a pod is killed; a run ends when it is told to."""
TIMEOUT_SECONDS = 400.0
SCRIPT = """
import json, os, socket
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
folder = os.environ["CHECKPOINTS"]
path = os.path.join(folder, "last.pt")
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
step = 0
if os.path.exists(path):
    known = torch.load(path, weights_only=True)
    model.load_state_dict(known["model"])
    step = known["step"] + 1

def tell(**facts):
    facts = {"rank": dist.get_rank(), "pod": os.environ["POD_IP"], "step": step, **facts}
    with open(os.path.join(folder, "told.jsonl"), "a") as file:
        file.write(json.dumps(facts) + "\\n")

tell(event="start", world=dist.get_world_size(), host=socket.gethostname())
torch.manual_seed(100 * step + dist.get_rank())
ends = torch.zeros(1)
while not ends:
    x = torch.randn(32, 4)
    loss = ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    tell(event="step", loss=loss.item())
    if dist.get_rank() == 0:
        torch.save({"model": model.state_dict(), "step": step}, path + ".new")
        os.replace(path + ".new", path)
    step += 1
    ends = torch.tensor([float(os.path.exists(os.path.join(folder, "end")))])
    dist.all_reduce(ends)
tell(event="end")
dist.destroy_process_group()
"""


class Run:
    """One training run in a namespace; `folder` is its claim for checkpoints."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.cluster, self.namespace, self.folder = cluster, namespace, folder
        self._address, self._names = "", ExitStack()

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(kubeconfig=self.cluster.kubeconfig)

    @property
    def job(self) -> str:
        """The path of the Job."""
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{NAME}"

    def told(self, event: str) -> list[Any]:
        """What the workers told, oldest first; a line that is being written is left out."""
        path = self.folder / "told.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        facts = [json.loads(line) for line in lines if line.endswith("\n")]
        return [one for one in facts if one["event"] == event]

    def pods(self) -> dict[str, Object]:
        """The pods that have not ended, by host name."""
        found = self.cluster.api.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        living = [
            one
            for one in found
            if one["status"]["phase"] in {"Pending", "Running"} and "deletionTimestamp" not in one["metadata"]
        ]
        return {one["spec"]["hostname"]: one for one in living}

    def loss(self, index: int) -> float:
        """The loss of a step of any worker, by its place among all steps told."""
        return float(self.told("step")[index]["loss"])

    def kill(self, pod: Object) -> None:
        """Kill the processes of a pod, all at once and without a word to them."""
        (status,) = pod["status"]["containerStatuses"]
        container = status["containerID"].removeprefix("containerd://")
        socket = f"--address={self.cluster.paths.containerd_socket}"
        command = ["ctr", socket, "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", container]
        subprocess.run(command, check=True)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait, while the first pod's name follows it as a DNS server lets it: late."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            self._follow_first_pod()
            assert time.monotonic() < deadline, f"{what} never came to be:\n{self._explain()}"
            time.sleep(0.2)

    def _follow_first_pod(self) -> None:
        address = self.pods().get(FIRST, {"status": {}})["status"].get("podIP")
        if address in {None, self._address}:
            return
        self.forget_names()
        name = f"{FIRST}.{NAME}.{self.namespace}.svc"
        self._names.enter_context(names_of(self.cluster, {name: address}))
        self._address = address

    def forget_names(self) -> None:
        """End the server of names."""
        self._names.close()

    def _explain(self) -> str:
        where = ("--namespace", self.namespace)
        logs = ("logs", *where, "--selector", f"modelservice.dev/training={NAME}", "--tail=40", "--prefix")
        return str(self.kubectl.explain(("get", "pods", *where, "--output=wide"), logs))


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    """An image with a shell and Python 3.11."""
    if not PACKAGES.exists():
        pytest.fail("make .venv-train/.installed installs torch", pytrace=False)
    return build_and_push(cluster, RUNTIME.make_build(ROOT))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the cluster with a real node, which enforces the Pod Security Standard "restricted"."""
    with testing.fresh_namespace(cluster.api) as name:
        cluster.api.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": RESTRICTED}})
        yield name


@pytest.fixture
def run(cluster: Cluster, namespace: str, image: str, tmp_path: Path) -> Iterator[Run]:
    """A run of two pods."""
    tmp_path.chmod(0o777)
    volumes = [make_claim(cluster, namespace, "checkpoints", tmp_path)]
    volumes.append(make_claim(cluster, namespace, "torch", PACKAGES.resolve()))
    made = Run(cluster, namespace, tmp_path)
    made.kubectl.run("apply", "--filename", "-", stdin=yaml.safe_dump_all(render(namespace, image, tmp_path)))
    made.wait(
        lambda: made.pods().get(FIRST, {"status": {}})["status"].get("podIP"), "the first pod's address"
    )
    cluster.api.patch(made.job, {"spec": {"parallelism": 2}})
    yield made
    made.forget_names()
    for path in volumes:
        cluster.api.delete(path)


def make_claim(cluster: Cluster, namespace: str, name: str, folder: Path) -> str:
    """Make a claim that gives a folder of the node to all pods; returns the path of its volume."""
    spec: Object = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}"},
        "spec": {**spec, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(folder)}},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            **spec,
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": volume["metadata"]["name"],
        },
    }
    path = cluster.api.path_of(cluster.api.apply(volume))
    cluster.api.apply(claim)
    return path


def render(namespace: str, image: str, folder: Path) -> list[Object]:
    """Return what the command writes, and torch from a claim: our image has none.

    The second pod is made later: the lower address has rank 0, and only where that one lives on does a
    successor show whether it finds the others.
    """
    script = folder / "train.py"
    script.write_text(SCRIPT)
    command: list[str | Path] = [
        *(COMMAND, "model", "train", "--name", NAME, "--nodes", "2", "--as", "job", "--image", image),
        *("--namespace", namespace, "--claim", "checkpoints"),
        *("--env", f"PYTHONPATH={TORCH}", "--env", "OMP_NUM_THREADS=1", script),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    objects: list[Object] = list(yaml.safe_load_all(done.stdout))
    (job,) = [one for one in objects if one["kind"] == "Job"]
    job["spec"]["parallelism"] = 1
    pod = job["spec"]["template"]["spec"]
    claim = {"claimName": "torch", "readOnly": True}
    pod["volumes"].append({"name": "torch", "persistentVolumeClaim": claim})
    pod["containers"][0]["volumeMounts"].append({"name": "torch", "mountPath": TORCH, "readOnly": True})
    return objects


@pytest.mark.timeout(900)
@pytest.mark.parametrize("killed", [SECOND, FIRST])
def test_two_pods_train_together_and_go_on_from_the_checkpoint_when_one_is_killed(
    run: Run, killed: str
) -> None:
    run.wait(lambda: len(run.told("step")) >= 2 * STEPS, "five steps of both workers")
    first = run.told("start")
    check_start(first)
    assert {one["step"] for one in first} == {0}

    before = run.pods()
    run.kill(before[killed])
    run.wait(lambda: len(run.told("start")) >= 4, "both workers start again")
    resumed, after = run.told("start")[2:], run.pods()
    check_start(resumed)
    assert resumed[0]["step"] == resumed[1]["step"] >= STEPS - 1
    same = {host for host in after if after[host]["metadata"]["uid"] == before[host]["metadata"]["uid"]}
    # They meet at the first pod: without it the other one ends too; else it waits for the successor.
    assert same == ({FIRST} if killed == SECOND else set())

    run.wait(lambda: run.loss(-1) < run.loss(0) / 10, "a tenth of the first loss")
    (run.folder / "end").touch()
    run.wait(
        lambda: condition_status(run.cluster.api.get(run.job), "Complete") == "True", "the end of the Job"
    )
    assert len(run.told("start")) == 4
    assert len(run.told("end")) == 2


def check_start(workers: list[Any]) -> None:
    """Two workers of one group, each in a pod of its own with an address of its own."""
    assert [one["world"] for one in workers] == [2, 2]
    assert {one["rank"] for one in workers} == {0, 1}
    assert {one["host"] for one in workers} == {FIRST, SECOND}
    assert len({one["pod"] for one in workers}) == 2
