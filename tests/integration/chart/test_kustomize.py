"""The kustomize base gives what the chart gives, and stands what overlays do to it."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from tests.support.chart import (
    MODEL_RUNTIME_API,
    NAMESPACE,
    ROOT,
    Chart,
    Loader,
    Object,
    arguments_of,
    find_object,
)

from modelservice_operator.settings import parse_settings

BASE = ROOT / "manifests"
KUBECTL = Path(sys.executable).parent / "kubectl"


def build(folder: Path) -> list[Object]:
    """What kustomize, which is part of kubectl, makes of a folder."""
    command = [KUBECTL, "kustomize", folder]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.load_all(result.stdout, Loader) if document]


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def test_base_is_what_the_chart_gives(chart: Chart):
    values = {"crds": {"install": True}, "namespace": {"create": True}}
    assert by_name(build(BASE)) == by_name(chart.render(values, apis=(MODEL_RUNTIME_API,)))


def test_overlay_moves_everything_into_its_namespace(tmp_path: Path):
    overlay = {
        "resources": [os.path.relpath(BASE, tmp_path)],
        "namespace": "ml-platform",
        "labels": [{"pairs": {"team": "ml"}}],
        "images": [{"name": "modelservice/operator", "newName": "mirror/operator", "newTag": "2"}],
        "replicas": [{"name": "modelservice-operator-activator", "count": 4}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.dump(overlay))

    objects = build(tmp_path)

    assert NAMESPACE not in yaml.dump(objects)
    deployments = [one for one in objects if one["kind"] == "Deployment"]
    assert len(deployments) == 3
    for one in deployments:
        assert one["spec"]["template"]["spec"]["containers"][0]["image"] == "mirror/operator:2"
    assert find_object(objects, "Deployment", "modelservice-operator-activator")["spec"]["replicas"] == 4
    (container,) = find_object(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    pod = {"POD_NAMESPACE": "ml-platform", "POD_NAME": "a"}
    settings = parse_settings(arguments_of(container, "ml-platform"), pod)
    assert settings.activator == ("ml-platform", "modelservice-operator-activator")
    assert settings.autoscaler_lease == ("ml-platform", "modelservice-operator-autoscaler")
