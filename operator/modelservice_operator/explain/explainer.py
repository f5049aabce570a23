"""What is said of the explainer: where it answers, and how many of its pods are ready. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.explainer import explain_path, model_name
from modelservice_operator.decide.revision import is_encrypted
from modelservice_operator.facts import names
from modelservice_operator.facts.ownership import is_owned

if TYPE_CHECKING:
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.facts.observed import Observed


def explainer_status(observed: Observed, decision: Decision) -> dict[str, Any] | None:
    """Return `status.explainer`, None where there is none."""
    if decision.explainer is None:
        return None
    metadata = observed.service["metadata"]
    service = names.explainer(metadata["name"])
    model = model_name(metadata["name"], decision.explainer)
    ready = (
        one.ready_replicas
        for one in observed.deployments
        if one.name == service and is_owned(one, metadata["uid"])
    )
    scheme = "https" if is_encrypted(decision.explainer.serving.snapshot) else "http"
    return {
        "url": f"{scheme}://{service}.{metadata['namespace']}.svc{explain_path(model)}",
        "readyReplicas": next(ready, 0),
    }
