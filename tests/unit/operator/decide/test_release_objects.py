"""What a release left in a cluster is taken over as it is: no pod, no revision, no other child is written."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.support.manifests import DATA
from tests.support.release_objects import writes_of_another_operator

RELEASES = sorted((DATA.parent / "upgrade").glob("*.json"))
SERVICES = [
    pytest.param(service, id=f"{file.stem}-{service['name']}")
    for file in RELEASES
    for service in json.loads(file.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("recorded", SERVICES)
def test_operator_writes_nothing_to_what_a_release_left(recorded: dict[str, Any]) -> None:
    writes, world = writes_of_another_operator(recorded)
    assert writes == []
    for field in ("stableRevision", "targetRevision"):
        assert world.status.get(field) == recorded["service"]["status"].get(field)
    assert _ready(world.status) == _ready(recorded["service"]["status"])


def _ready(status: dict[str, Any]) -> dict[str, str]:
    (found,) = [one for one in status["conditions"] if one["type"] == "Ready"]
    return {field: found[field] for field in ("status", "reason")}


@pytest.mark.parametrize("recorded", SERVICES[:1])
@pytest.mark.parametrize("kind", ["Deployment", "Service", "NetworkPolicy", "ServiceAccount"])
def test_object_that_this_operator_would_build_otherwise_is_seen(recorded: dict[str, Any], kind: str) -> None:
    other = copy.deepcopy(recorded)
    for body in other["objects"]:
        if body["kind"] == kind:
            body["metadata"]["labels"]["app"] = "other"
    writes, _ = writes_of_another_operator(other)
    assert kind in {found for found, _ in writes}


@pytest.mark.parametrize("recorded", SERVICES[:1])
def test_spec_that_this_operator_would_name_otherwise_is_seen(recorded: dict[str, Any]) -> None:
    """As where a field that was left out enters the name of a revision."""
    other = copy.deepcopy(recorded)
    other["service"]["spec"]["model"]["version"] = "7"
    writes, _ = writes_of_another_operator(other)
    assert {"ControllerRevision", "Deployment"} <= {found for found, _ in writes}
