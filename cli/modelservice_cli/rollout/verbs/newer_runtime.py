"""`rollout update-runtime`: takes the ModelRuntime as it is now, by an annotation pinned to its image. Pure.

The spec stays as it is, so a tool that compares it with Git sees no difference.
"""

from datetime import datetime
from typing import Any

from modelservice_cli.rollout.facts import Facts
from modelservice_operator.decide.change.runtime_update import RuntimeUpdate, read_update
from modelservice_operator.facts.labels import UPDATE_RUNTIME


def plan_update(facts: Facts, now: datetime) -> str | None:
    """Return what to ask, None where the ModelRuntime has nothing that the pods do not have.

    The time makes it another request than the last one.
    """
    runtime = facts.status.get("runtime") or {}
    if not runtime.get("message"):
        return None
    return f"{runtime.get('newerImage') or runtime['image']} {now:%Y%m%dT%H%M%S.%fZ}"


def with_update(facts: Facts, request: str) -> dict[str, Any]:
    """Return the ModelService with the request."""
    metadata = facts.service["metadata"]
    annotations = {**(metadata.get("annotations") or {}), UPDATE_RUNTIME: request}
    return {**facts.service, "metadata": {**metadata, "annotations": annotations}}


def find_outcome(facts: Facts, request: str) -> RuntimeUpdate | None:
    """Return what came of a request, None where the operator has not seen it yet."""
    update = read_update(facts.status)
    return update if update is not None and update.request == request else None
