"""The whole family: every object that a ModelService wants, in the order in which to apply them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.claim_template import build_claim_template
from modelservice_operator.decide.resources.controller_revision import build_controller_revision
from modelservice_operator.decide.resources.deployment import build_deployment
from modelservice_operator.decide.resources.disruption_budget import build_disruption_budget
from modelservice_operator.decide.resources.evaluation.parts import fetched_uris
from modelservice_operator.decide.resources.explainer import Explainer, build_explainer, pod_labels
from modelservice_operator.decide.resources.network_policy import (
    build_evaluation_policy,
    build_network_policy,
    peers_of,
)
from modelservice_operator.decide.resources.pod.model_source import is_downloaded
from modelservice_operator.decide.resources.service import (
    build_pods_service,
    build_preview_service,
    build_revision_service,
    build_service,
)
from modelservice_operator.decide.resources.service_account import build_service_account
from modelservice_operator.decide.resources.standby_slice import build_standby_slice
from modelservice_operator.decide.revision import is_encrypted
from modelservice_operator.facts import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.api import NetworkPolicySpec
    from modelservice_operator.decide.resources.metadata import Owner
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.facts.endpoints import Slice


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What the children are made of. `live` pairs each revision that has a Deployment with its replicas.

    Clients are led to the `selected` revision alone, to all where there is none; `preview` is the revision
    behind the preview Service, None for no such Service. `standby` is the slice that leads to the activator,
    whose pods are in `activator_namespace`.
    """

    owner: Owner
    live: Sequence[tuple[Revision, int]]
    autoscaler: dict[str, Any] | None
    """What tells an engine how to steer, where one has to be told."""
    network_policy: NetworkPolicySpec
    is_encrypted: bool = False
    """Whether clients speak TLS to the pods that they are led to."""
    components: Sequence[Mapping[str, Any]] = ()
    """Peers that it always lets in."""
    selected: str | None = None
    preview: str | None = None
    standby: Slice | None = None
    activator_namespace: str = ""
    evaluation: dict[str, Any] | None = None
    """The Job that evaluates a revision, where one has to."""
    explainer: Explainer | None = None


def build_children(family: Family) -> tuple[dict[str, Any], ...]:
    """Return the children; what pods need to start comes before the Deployments.

    A ControllerRevision is built only where it has to be written: its data never changes.
    """
    owner = family.owner
    revisions = [revision for revision, _ in family.live]
    children: list[dict[str, Any]] = []
    if family.explainer or any(_uses_own_account(owner, revision) for revision in revisions):
        children.append(build_service_account(owner))
    if family.network_policy.mode != "Disabled":
        children.append(_network_policy(family, revisions))
    children += [
        build_controller_revision(owner, revision) for revision in revisions if not revision.recorded
    ]
    claims = (build_claim_template(owner, revision) for revision in revisions)
    children += [claim for claim in claims if claim is not None]
    children += [build_deployment(owner, revision, replicas) for revision, replicas in family.live]
    children += _build_evaluation(family)
    children += _build_services(family)
    children.append(build_disruption_budget(owner))
    if family.standby is not None:
        children.append(
            build_standby_slice(
                owner, family.standby, family.activator_namespace, is_encrypted=family.is_encrypted
            )
        )
    if family.autoscaler is not None:
        children.append(family.autoscaler)
    return (*children, *_explainer(family))


def _explainer(family: Family) -> list[dict[str, Any]]:
    if family.explainer is None:
        return []
    policy = family.network_policy
    is_open = policy.mode == "Disabled"
    return build_explainer(
        family.owner,
        family.explainer,
        peers=None if is_open else peers_of(policy, ()),
        components=family.components,
    )


def _build_evaluation(family: Family) -> list[dict[str, Any]]:
    """The Job, behind a policy of its own: that of the servers is for their pods."""
    job, owner = family.evaluation, family.owner
    if job is None:
        return []
    if family.network_policy.mode == "Disabled":
        return [job]
    pod = job["spec"]["template"]["spec"]
    own = pod.get("serviceAccountName") == names.service_account(owner.name)
    uris = fetched_uris(pod)
    policy = build_evaluation_policy(
        owner,
        job["metadata"]["name"],
        reaches_out=bool(uris),
        identities=set() if own else {uri.partition("://")[0] for uri in uris},
    )
    return [policy, job]


def _build_services(family: Family) -> list[dict[str, Any]]:
    owner = family.owner
    encrypted = {revision.name: is_encrypted(revision.snapshot) for revision, _ in family.live}
    services = [
        build(owner, family.selected, is_encrypted=family.is_encrypted)
        for build in (build_service, build_pods_service)
    ]
    if family.preview is not None:
        preview = family.preview
        services.append(build_preview_service(owner, preview, is_encrypted=encrypted.get(preview, False)))
    services += [build_revision_service(owner, name, is_encrypted=encrypted[name]) for name in encrypted]
    return services


def _network_policy(family: Family, revisions: Sequence[Revision]) -> dict[str, Any]:
    owner = family.owner
    return build_network_policy(
        owner,
        family.network_policy,
        components=[*family.components, *_asking(family)],
        reaches_out=any(map(_reaches_out, revisions)),
        identities={
            uri.partition("://")[0]
            for revision in revisions
            if not _uses_own_account(owner, revision)
            for uri in _storage_uris(revision)
        },
    )


def _asking(family: Family) -> list[dict[str, Any]]:
    """The explainer asks the model, whoever else may."""
    if family.explainer is None:
        return []
    return [{"podSelector": {"matchLabels": pod_labels(family.owner)}}]


def _uses_own_account(owner: Owner, revision: Revision) -> bool:
    account = revision.snapshot.template.get("spec", {}).get("serviceAccountName")
    return bool(account == names.service_account(owner.name))


def _reaches_out(revision: Revision) -> bool:
    """Whether the fetcher loads something over the network, or the server sends traces."""
    inputs = revision.snapshot.inputs
    sends = any(str(variable.get("name")).startswith("OTEL_") for variable in inputs.get("env", ()))
    model, *others = _storage_uris(revision)
    is_mounted = "imageVolume" in inputs.get("model", {})
    return sends or any(map(is_downloaded, others if is_mounted else [model, *others]))


def _storage_uris(revision: Revision) -> list[str]:
    """The model's, and those of its adapters."""
    inputs = revision.snapshot.inputs
    sources = [inputs.get("model", {}), *inputs.get("generation", {}).get("adapters", ())]
    return [str(one.get("storageUri", "")) for one in sources]
