"""The demo itself, on the cluster of the tests: twice, because it must be repeatable."""

from pathlib import Path

import pytest
from hack.cluster.cluster import Cluster
from hack.demo import training
from hack.demo.local import LocalTarget
from hack.demo.manifests import find_names
from hack.demo.steps import Steps
from hack.demo.up import Demo

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def demo(cluster: Cluster) -> Demo:
    return Demo(ROOT, Steps(), LocalTarget(cluster))


def find_pods(demo: Demo) -> list[str]:
    """Name and restarts of every pod of the model; a repeated demo must leave them alone."""
    columns = "custom-columns=NAME:.metadata.name,RESTARTS:.status.containerStatuses[*].restartCount"
    arguments = ("--namespace", "default", "--selector", "modelservice.dev/name=spam", "-o", columns)
    return demo.target.kubectl.run("get", "pods", "--no-headers", *arguments).splitlines()


@pytest.mark.timeout(900)
def test_demo_run_twice_answers_both_times_and_leaves_the_pods_alone(demo, capsys):
    trained = training.train(ROOT)
    demo.run(trained)
    first = capsys.readouterr().out
    pods = find_pods(demo)
    assert "  ham   (spam with probability 0." in first
    assert "  spam  (spam with probability " in first
    assert "spam   True" in first
    assert len(pods) == 1

    manifest = (ROOT / training.OUTPUT / "modelservice.yaml").read_text()
    assert list(find_names(manifest, "ModelService")) == ["spam"]
    assert f"sha256: {trained.sha256}" in manifest
    assert f"oci://{demo.target.registry_name}/models/spam:1" in manifest

    demo.run(trained)
    assert find_pods(demo) == pods
    assert "  ham   (spam with probability" in capsys.readouterr().out
