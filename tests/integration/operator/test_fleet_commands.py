"""The commands of `modelservice fleet` as a user runs them, on a real run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hack.cluster import testing
from tests.integration.operator.conftest import OperatorFactory
from tests.support.fleet_runs import GROUP, ROLLOUTS, Fleet

from modelservice_cli.main import main, plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hack.cluster.cluster import Cluster

NAME = "commanded"
WAVES = [
    {"name": "first", "selector": {"matchLabels": {"stage": "first"}}},
    {"name": "rest", "rest": True, "approval": True},
]


@pytest.fixture(scope="module")
def fleet(installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """An operator of the whole cluster, and three services that are ready; one of them is pinned."""
    with testing.fresh_namespace(installed.api) as namespace:
        fleet = Fleet(installed.api, namespace)
        fleet.set_runtime(1)
        with OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator")) as factory:
            factory(is_clusterwide=True).start().wait_leading()
            fleet.apply("one", {"stage": "first"})
            fleet.apply("two")
            fleet.apply("pinned", runtime={"pin": True})
            fleet.wait_ready(["one", "two", "pinned"])
            yield fleet
        fleet.remove()


@pytest.fixture
def run(installed: Cluster, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a verb to its end; returns what it printed."""

    def run(*arguments: str, code: int = 0, program: Callable[[list[str]], int] = main) -> str:
        capsys.readouterr()
        found = program(["fleet", *arguments, "--kubeconfig", str(installed.kubeconfig)])
        captured = capsys.readouterr()
        assert found == code, captured
        return captured.out + captured.err

    return run


def test_commands_plan_follow_approve_and_take_back(
    fleet: Fleet, run: Callable[..., str], tmp_path: Path
) -> None:
    rollout = {
        "apiVersion": GROUP,
        "kind": "RuntimeRollout",
        "metadata": {"name": NAME},
        "spec": {
            "target": {"runtime": fleet.runtime},
            "selector": {"namespaces": [fleet.namespace]},
            "waves": WAVES,
            "soakSeconds": 0,
        },
    }
    file = tmp_path / "rollout.yaml"
    file.write_text(yaml.safe_dump(rollout), encoding="utf-8")
    fleet.set_runtime(2)

    planned = json.loads(run("plan", "-f", str(file), "-o", "json"))
    moves = {
        member["member"].partition("/")[2]: (wave["name"], member["moves"])
        for wave in planned["waves"]
        for member in wave["members"]
    }
    assert moves == {"one": ("first", True), "two": ("rest", True), "pinned": ("rest", False)}
    assert set(fleet.images().values()) == {"1"}, "a plan moves nobody"

    fleet.api.apply(rollout)
    said = run("status", NAME, "-w", "--until-paused", "--timeout", "240s")
    assert "it waits for your approval" in said.splitlines()[-1]
    assert fleet.images() == {"one": "2", "two": "1", "pinned": "1"}
    assert "Nothing was done" in run("resume", NAME, code=1)

    said = run("approve", NAME, "-w", "--timeout", "240s", program=plugin)
    assert said.splitlines()[0] == f"{NAME}: Wave rest may start."
    assert f"{NAME}: complete" in said.splitlines()[-1]
    assert fleet.images() == {"one": "2", "two": "2", "pinned": "1"}
    assert "no wave of commanded waits for an approval" in run("approve", NAME, code=1)

    shown = run("status", NAME)
    assert f"{NAME}: complete, 2/3 updated" in shown
    run("rollback", NAME, "-w", "--timeout", "240s")
    assert set(fleet.images().values()) == {"1"}
    assert json.loads(run("status", NAME, "-o", "json"))["status"]["phase"] == "RolledBack"
    assert "modelservice.dev/fleet-action" in fleet.api.get(f"{ROLLOUTS}/{NAME}")["metadata"]["annotations"]
    assert "there is no RuntimeRollout 'nobody'" in run("status", "nobody", code=1)
