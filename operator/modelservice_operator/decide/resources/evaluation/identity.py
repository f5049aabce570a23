"""Which measurement a Job makes: two of the same name measure the same. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.api import to_canonical
from modelservice_operator.decide.revision import recorded_domain
from modelservice_operator.facts import names

if TYPE_CHECKING:
    from modelservice_operator.api import Evaluation, EvaluationData
    from modelservice_operator.decide.revision import Revision

_OF_THE_MODEL = ("storageUri", "sha256", "imageVolume", "decryption")
_OF_THE_WAY = ("credentials", "maxSize")
"""How data comes, not what it is."""
_DIGEST = "@sha256:"


class Identity(msgspec.Struct, frozen=True):
    """Names of what is measured: of both models on the data, and of the new one alone."""

    key: str
    candidate: str
    is_same_model: bool = False
    """Whether both revisions have the very same model."""


def identify(evaluation: Evaluation, candidate: Revision, stable: Revision | None) -> Identity:
    """Name a measurement. What no digest pins may change, so it is measured anew for each revision."""
    alone: dict[str, Any] = {
        "model": _model(candidate),
        "image": candidate.snapshot.runtime.image_for(recorded_domain(candidate.snapshot)),
        "data": _data(evaluation.data, candidate),
        "metric": evaluation.metric,
        "output": evaluation.output,
        "classes": list(evaluation.classes),
    }
    beside = None if stable is None else _model(stable)
    return Identity(
        key=names.revision_name({**alone, "stable": beside}),
        candidate=names.revision_name(alone),
        is_same_model=beside == alone["model"],
    )


def evaluation_hash(evaluation: Evaluation | None) -> str:
    """Name what a revision has to show; empty where that is nothing."""
    return "" if evaluation is None else names.revision_name(to_canonical(evaluation))


def _model(revision: Revision) -> dict[str, Any]:
    model = revision.snapshot.inputs.get("model", {})
    found = {field: model[field] for field in _OF_THE_MODEL if field in model}
    is_pinned = "sha256" in model or _DIGEST in str(model.get("storageUri"))
    return found if is_pinned else {**found, "revision": revision.name}


def _data(data: EvaluationData, candidate: Revision) -> dict[str, Any]:
    found = {name: value for name, value in to_canonical(data).items() if name not in _OF_THE_WAY}
    uri = data.storage_uri or str(candidate.snapshot.inputs.get("model", {}).get("storageUri"))
    if data.storage_uri is None:
        found["storageUri"] = uri
    is_pinned = data.sha256 is not None or _DIGEST in uri
    return found if is_pinned else {**found, "revision": candidate.name}
