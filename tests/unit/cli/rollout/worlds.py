"""What the API server would hold after changes of a ModelService, as the commands read it."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

from tests.unit.operator.builders import NOW, World, model, timestamp

from modelservice_cli.rollout.facts import Facts, read_deployments, read_records
from modelservice_operator.facts.observed import RevisionChild


def make_world(*tags: int, **spec: Any) -> World:
    """A service that was changed to each of these models in turn, a minute apart."""
    world = World(model=model(tags[0]), **spec)
    world.settle()
    for tag in tags[1:]:
        world.wait(60)
        world.edit(model=model(tag))
        world.settle()
    return world


def facts_of(world: World, **facts: Any) -> Facts:
    """One look at it; `facts` replace what was seen."""
    service = copy.deepcopy(world.service)
    seen: dict[str, Any] = {
        "records": read_records(service, controller_revisions(world)),
        "deployments": read_deployments(service, deployments(world)),
    }
    return Facts(service=service, **{**seen, **facts})


def controller_revisions(world: World) -> list[dict[str, Any]]:
    return [
        {
            "metadata": _metadata(one),
            "data": json.loads(one.data),
            "revision": one.number,
        }
        for one in world.children.values()
        if isinstance(one, RevisionChild)
    ]


def deployments(world: World) -> list[dict[str, Any]]:
    return [
        {
            "metadata": _metadata(one),
            "spec": {"replicas": one.spec_replicas},
            "status": {"readyReplicas": one.ready_replicas, "availableReplicas": one.available_replicas},
        }
        for one in world.deployments().values()
    ]


def _metadata(child: Any) -> dict[str, Any]:
    return {
        "name": child.name,
        "creationTimestamp": child.created_at,
        "ownerReferences": [{"uid": child.owner_uid}],
    }


def later(seconds: float) -> str:
    return timestamp(NOW + timedelta(seconds=seconds))
