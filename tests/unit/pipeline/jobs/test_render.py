"""Training runs as Kubernetes takes them. MODELSERVICE_UPDATE_GOLDEN=1 writes the files anew."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.jobs.render import render_job, render_train_job
from modelservice_pipeline.jobs.spec import LARGEST_SCRIPT_BYTES, TrainSpec, read_script

GOLDEN = Path(__file__).parent / "golden"
SCRIPT = 'import os\n\nprint("$HOME $(HOME) $$", os.environ["HOME"])\n'


def make_spec(**fields: Any) -> TrainSpec:
    return TrainSpec(
        **{"name": "translator", "image": "registry.example/torch:2", "script": SCRIPT, **fields}
    )


FULL = make_spec(
    nodes=2,
    namespace="mail",
    arguments=("--epochs", "3", "$x"),
    requests={"cpu": "2", "memory": "4Gi"},
    environment={"OMP_NUM_THREADS": "2"},
)
GOLDENS = {
    "job.yaml": lambda: render_job(make_spec(nodes=2, claim="checkpoints", pull_secrets=("regcred",))),
    "job-without-claim.yaml": lambda: render_job(FULL),
    "train-job.yaml": lambda: render_train_job(FULL),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_run_is_rendered_as_the_file_says(name: str) -> None:
    objects = GOLDENS[name]()
    if os.environ.get("MODELSERVICE_UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(yaml.safe_dump_all(objects, sort_keys=False, width=110))

    assert objects == list(yaml.safe_load_all((GOLDEN / name).read_text()))


def run_shell(spec: TrainSpec, index: int, tmp_path: Path, looks: int = 1) -> list[list[str]]:
    """Run the line of the Job by a real shell; returns the arguments of each call of python3.

    The first node answers at the last of so many looks for it.
    """
    told = tmp_path / "told"
    told.touch()
    fake = tmp_path / "python3"
    fake.write_text(
        f'#!/bin/sh\nprintf "%s\\n" --call "$@" >> {told}\n'
        f'test "$1" != -c || test "$(grep -c "^--call$" {told})" -ge {looks}\n'
    )
    fake.chmod(0o755)
    sleep = tmp_path / "sleep"
    sleep.symlink_to("/bin/true")
    (container,) = render_job(spec)[1]["spec"]["template"]["spec"]["containers"]
    # What the kubelet makes of it.
    command = [text.replace("$$", "$") for text in (*container["command"], *container["args"])]
    variables = {one["name"]: one.get("value", "10.0.0.7").replace("$$", "$") for one in container["env"]}
    subprocess.run(
        [text.replace("/tmp/training", str(tmp_path)) for text in command],
        env={**variables, "PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": str(index)},
        check=True,
    )
    return [call.splitlines() for call in told.read_text().split("--call\n")[1:]]


@pytest.mark.parametrize("claim", ["checkpoints", None])
def test_shell_of_the_job_starts_torchrun_with_the_script_and_its_arguments(
    tmp_path: Path, claim: str | None
) -> None:
    spec = make_spec(nodes=2, claim=claim, arguments=("--epochs", "two words", "$HOME", '"'))

    (told,) = run_shell(spec, 0, tmp_path)

    assert told[:2] == ["-m", "torch.distributed.run"]
    assert "--nnodes=2" in told
    assert "--local-addr=10.0.0.7" in told
    assert told[-5:] == [f"{tmp_path}/script.py", "--epochs", "two words", "$HOME", '"']
    assert (tmp_path / "script.py").read_text() == SCRIPT


def test_first_node_meets_the_others_at_itself_without_any_name(tmp_path: Path) -> None:
    (told,) = run_shell(make_spec(nodes=2), 0, tmp_path)

    assert {"--rdzv-endpoint=localhost:29400", "--rdzv-conf=is_host=true"} <= set(told)


def test_other_nodes_wait_until_the_first_one_answers(tmp_path: Path) -> None:
    *looks, told = run_shell(make_spec(nodes=2), 1, tmp_path, looks=3)

    assert len(looks) == 3
    assert all("create_connection(('translator-0.translator', 29400)" in look[1] for look in looks)
    assert {"--rdzv-endpoint=translator-0.translator:29400", "--rdzv-conf=is_host=false"} <= set(told)


def test_workers_of_a_later_round_have_a_store_of_their_own_unless_the_user_says_otherwise() -> None:
    """Else torchrun tells where that is in the first round alone, and a successor waits for it."""
    shared = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"

    def value(**fields: Any) -> str:
        (container,) = render_job(make_spec(**fields))[1]["spec"]["template"]["spec"]["containers"]
        (found,) = [one["value"] for one in container["env"] if one["name"] == shared]
        return str(found)

    assert value() == "1"
    assert value(environment={shared: "0"}) == "0"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Upper"},
        {"name": "x" * 53},
        {"name": ""},
        {"nodes": 0},
        {"processes_per_node": 65},
        {"restarts": -1},
        {"environment": {"PET_NNODES": "3"}},
        {"environment": {"1A": "3"}},
    ],
)
def test_run_that_kubernetes_would_refuse_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(PipelineError):
        make_spec(**fields)


@pytest.mark.parametrize("fields", [{"claim": "checkpoints"}, {"pull_secrets": ("regcred",)}])
def test_train_job_refuses_what_only_its_runtime_can_say(fields: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match="ClusterTrainingRuntime"):
        render_train_job(make_spec(**fields))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"import (", "line 1"),
        (b"\xff", "cannot read"),
        (b"#" * (LARGEST_SCRIPT_BYTES + 1), "put most of it into the image"),
    ],
)
def test_script_that_cannot_be_sent_along_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(content)

    with pytest.raises(PipelineError, match=said):
        read_script(path)
    with pytest.raises(PipelineError, match="cannot read"):
        read_script(tmp_path / "other.py")
