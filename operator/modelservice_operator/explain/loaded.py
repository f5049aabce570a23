"""What the status says of the model that is served: what it is, and whether pods agree on it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.explain.conditions import CONTENT_CHANGED
from modelservice_operator.explain.diagnose import first_commit, first_report, loaded_models
from modelservice_operator.facts.recorded import condition_of
from modelservice_operator.facts.reported import signature_of
from modelservice_operator.facts.signature import signature_in, signature_status
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.explain.diagnose import LoadedModel
    from modelservice_operator.facts.observed import Observed, ReportedModel

_SAID = ("batching", "leftOutOutputs")
"""Fields of `status.model` that only servers can tell."""
_LARGEST_BATCH = 2**31 - 1
_LONGEST_OBSTACLE = 1024
_LONGEST_NAME = 253
_LONGEST_COMMIT = 64
_MOST_OUTPUTS = 64


def models_of(observed: Observed, decision: Decision) -> tuple[LoadedModel, ...] | None:
    """Return the models that the serving revision's pods report, None where no pods were read."""
    if observed.pods is None or decision.serving is None:
        return None
    return loaded_models(observed.pods, decision.serving.name, observed.pod_reports)


def _serving_before(old: Mapping[str, Any]) -> object:
    return old.get("stableRevision") or old.get("targetRevision")


def served_model(
    observed: Observed, decision: Decision, old: Mapping[str, Any], models: Sequence[LoadedModel] | None
) -> dict[str, Any] | None:
    """Return the model of the serving revision; what pods said once is kept while it serves."""
    if decision.serving is None:
        return None
    inputs = decision.serving.snapshot.inputs.get("model", {})
    known = _known_model(decision, old)
    recorded = _recorded(decision, old, models)
    same = next((one for one in models or () if recorded and not one.differs(*recorded)), None)
    pods, reports = observed.pods or (), observed.pod_reports
    said = first_report(pods, decision.serving.name, reports)
    signature = signature_of(pods, decision.serving.name, reports) or signature_in(known)
    model = {
        "sha256": recorded[0] if recorded else None,
        "externalDataSha256": (recorded[1] if recorded else None)
        or (same.external_data_sha256 if same else None),
        "sizeBytes": (same.size_bytes if same else None) or known.get("sizeBytes"),
        "commit": known.get("commit") or (recorded and _commit(pods, decision, recorded[0])),
        "version": inputs.get("version"),
        **({name: known.get(name) for name in _SAID} if said is None else _said(said)),
        **signature_status(signature),
        "comparedAt": observed.compared_at or known.get("comparedAt"),
    }
    return {field: value for field, value in model.items() if value is not None} or None


def _commit(pods: Sequence[Mapping[str, Any]], decision: Decision, sha256: str) -> str | None:
    serving = decision.serving
    found = first_commit(pods, serving.name, sha256) if serving else None
    return found and redact(found)[:_LONGEST_COMMIT]


def _known_model(decision: Decision, old: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the old status of the model, nothing where another revision served."""
    is_same = decision.serving is not None and _serving_before(old) == decision.serving.name
    return (old.get("model") or {}) if is_same else {}


def _recorded(
    decision: Decision, old: Mapping[str, Any], models: Sequence[LoadedModel] | None
) -> tuple[str, str | None] | None:
    """Return the digests that stand for the serving revision: the first that were ever seen.

    What the spec asks for is not seen before a pod had it: the store may have another file.
    """
    known = _known_model(decision, old)
    if known.get("sha256"):
        return str(known["sha256"]), known.get("externalDataSha256")
    inputs = decision.serving.snapshot.inputs.get("model", {}) if decision.serving else {}
    # Of an encrypted model the spec knows the digest of what is stored, and pods that of what they serve.
    if inputs.get("sha256") and not inputs.get("decryption") and (models or decision.stable is not None):
        return str(inputs["sha256"]), None
    return (models[0].sha256, models[0].external_data_sha256) if models else None


def _said(model: ReportedModel) -> dict[str, Any]:
    """Return what a server says about itself as status has it; what it may say is bounded there."""
    batching = model.batching
    stated = {
        "maxBatchSize": max(1, min(batching.max_batch_size, _LARGEST_BATCH)),
        "obstacle": batching.obstacle and redact(batching.obstacle)[:_LONGEST_OBSTACLE],
        "source": batching.source and batching.source[:_LONGEST_NAME],
    }
    left_out = [name[:_LONGEST_NAME] for name in dict.fromkeys(model.left_out_outputs)][:_MOST_OUTPUTS]
    return {
        "batching": {field: value for field, value in stated.items() if value},
        "leftOutOutputs": left_out or None,
    }


def content_changed(
    decision: Decision, old: Mapping[str, Any], models: Sequence[LoadedModel] | None
) -> str | None:
    """Return the complaint about pods that serve another model than their revision, until looked at again."""
    if decision.serving is None:
        return None
    if not models:
        known = condition_of(old, "Degraded")
        is_known = known.get("reason") == CONTENT_CHANGED and _serving_before(old) == decision.serving.name
        return str(known.get("message")) if is_known else None
    recorded = _recorded(decision, old, models)
    others = [one for one in models if recorded and one.differs(*recorded)]
    if not others or recorded is None:
        return None
    name = decision.serving.name
    if len(others) < len(models):
        return (
            f"Pods of revision {name} loaded different files from the same address "
            f"(sha256 {', '.join(_digests(models))}): set spec.model.sha256 to the right one."
        )
    return (
        f"The files behind the address of revision {name} have changed: its pods serve sha256 "
        f"{', '.join(_digests(others))}, and {recorded[0]} was rolled out. Set spec.model.sha256 to the "
        "right one, or change spec.model.version to roll out what is there now."
    )


def _digests(models: Sequence[LoadedModel]) -> list[str]:
    """Return what tells the models apart."""
    texts = [one.sha256 for one in models]
    if len(set(texts)) == len(texts):
        return texts
    return [f"{one.sha256} with external data {one.external_data_sha256}" for one in models]
