"""Today's operator takes over what a release left, and what was uninstalled, without touching a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.operator_process import wait_until
from tests.support.recorded import RECORDED, restore

if TYPE_CHECKING:
    from pathlib import Path

WRITES = "modelservice_operator_writes_total"


def pods(kube: Any) -> dict[str, tuple[str, int]]:
    """UIDs of the pods, and how often their containers were started anew."""
    return {
        one["metadata"]["name"]: (
            one["metadata"]["uid"],
            sum(container["restartCount"] for container in one["status"].get("containerStatuses", ())),
        )
        for one in kube.items("pods")
    }


def generations(kube: Any) -> dict[str, int]:
    return {
        f"{kind}/{one['metadata']['name']}": one["metadata"]["generation"]
        for kind in ("modelservices", "deployments")
        for one in kube.items(kind)
    }


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.yaml")), ids=lambda file: file.stem)
def test_objects_of_a_release_are_taken_over_as_they_are(kube, make_operator, file: Path) -> None:
    recorded = yaml.safe_load(file.read_text(encoding="utf-8"))
    restore(kube.api, kube.namespace, recorded)
    wanted = {
        one["name"]: one["written"]["spec"]["replicas"] for one in recorded if one["kind"] == "Deployment"
    }

    def are_available() -> bool:
        found = {
            one["metadata"]["name"]: one["status"].get("availableReplicas", 0)
            for one in kube.items("deployments")
        }
        return found == wanted

    wait_until(are_available, "the pods run", 120)
    before = generations(kube), pods(kube), kube.children("plain"), kube.children("canary")

    operator = make_operator().start().wait_leading()
    for one in recorded:
        if one["kind"] == "ModelService":
            kube.wait_observed(one["name"])
    operator.wait_at_rest()
    assert (generations(kube), pods(kube), kube.children("plain"), kube.children("canary")) == before
    for kind in ("Deployment", "ControllerRevision", "Service", "ServiceAccount"):
        assert operator.metric(WRITES, kind=kind) == 0, kind
    assert operator.metric(WRITES, kind="ModelService", what="scale") == 0
    for name in ("plain", "scaled", "full"):
        assert kube.is_ready(name), kube.condition("Ready", name)
    assert kube.service("canary")["status"]["rollout"]["paused"] == "PauseStep"
    assert operator.stop() == 0

    # Installed again, under another name: nothing at all is left to do.
    again = make_operator("--lease-name", "another", identity="operator-1").start().wait_leading()
    again.wait_at_rest()
    assert again.metric(WRITES) == 0
    assert (generations(kube), pods(kube), kube.children("plain"), kube.children("canary")) == before
