"""Which ModelRuntime a revision is made with. Pure.

What the stable revision was made with stays: changing or deleting a ModelRuntime, or changing which one is
the default, restarts nothing. The runtime is looked up anew only for another `spec.runtime.ref`, and until
a first rollout is complete, so that mending a wrong image heals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.api import InvalidSpec, parse_model_runtime
from modelservice_operator.decide.revision import RecordedRuntime, record_runtime
from modelservice_operator.facts import labels
from modelservice_operator.facts.gpus import NVIDIA
from modelservice_operator.facts.remembered import remembered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAMES_SHOWN = 10
_CHART_VALUE = "value operator.runtimes"


class RuntimeProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no revision of a valid spec: no runtime, a cluster without what pods ask for, a newer one.

    `reason` is `RuntimeNotFound`, `RuntimeAmbiguous`, `RuntimeInvalid`, `GpuImageMissing`,
    `ClaimsNotServed` or `NewerRevision`.
    """

    reason: str
    message: str


class RuntimeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a ModelService asks of a runtime: `spec.runtime.ref`, and whose GPU it wants (`image_domain`)."""

    ref: str | None
    domain: str | None


def resolve_runtime(
    request: RuntimeRequest,
    runtimes: Sequence[Mapping[str, Any]],
    *,
    stable: RecordedRuntime | None,
    target: RecordedRuntime | None,
) -> RecordedRuntime | RuntimeProblem:
    """Return the runtime to use.

    `stable` and `target` are the runtimes recorded in the stable revision and in the one that the last
    reconcile was heading for; `runtimes` are all ModelRuntimes of the cluster, as read.
    """
    if stable is not None and stable.requested == request.ref:
        return _with_image(stable, request, is_recorded=True)
    found = _look_up(request.ref, runtimes)
    is_gone = isinstance(found, RuntimeProblem) and found.reason == "RuntimeNotFound"
    if is_gone and target is not None and target.requested == request.ref:
        return _with_image(target, request, is_recorded=True)
    return found if isinstance(found, RuntimeProblem) else _with_image(found, request)


def current_runtime(
    request: RuntimeRequest, runtimes: Sequence[Mapping[str, Any]]
) -> RecordedRuntime | RuntimeProblem:
    """Return the runtime as it is now, whatever a revision recorded of it."""
    found = _look_up(request.ref, runtimes)
    return found if isinstance(found, RuntimeProblem) else _with_image(found, request)


def runtime_of(request: RuntimeRequest, runtime: Mapping[str, Any]) -> RecordedRuntime | RuntimeProblem:
    """Return what this ModelRuntime is for a request, whichever is the default."""
    found = _read(request.ref, runtime)
    return found if isinstance(found, RuntimeProblem) else _with_image(found, request)


def has_image(runtime: RecordedRuntime, domain: str | None) -> bool:
    """Return whether a runtime has an image for pods with GPUs of this domain; None is for those without."""
    if domain is None:
        return True
    return bool(runtime.gpu_image if domain == NVIDIA.domain else runtime.gpu_images.get(domain))


def is_same_runtime(before: RecordedRuntime, after: RecordedRuntime, domain: str | None) -> bool:
    """Return whether pods of this domain would be the same on both."""
    return not _changed_fields(before, after, domain)


class RuntimeNews(msgspec.Struct, frozen=True):
    """That a revision's runtime was changed since: the image that it would get now, and how to get it."""

    image: str
    message: str


def runtime_news(
    recorded: RecordedRuntime, runtimes: Sequence[Mapping[str, Any]], domain: str | None
) -> RuntimeNews | None:
    """Return what a revision with this runtime does not have, None where it is up to date."""
    found = _look_up(recorded.requested, runtimes)
    if isinstance(found, RuntimeProblem):
        return None
    changed = _changed_fields(recorded, found, domain)
    if not changed:
        return None
    what = (
        f"The default ModelRuntime is {found.name!r} now."
        if "name" in changed
        else f"ModelRuntime {found.name!r} has changed since ({', '.join(changed)})."
    )
    return RuntimeNews(
        image=found.image_for(domain),
        message=f"{what} These pods keep what their revision recorded; 'modelservice rollout update-runtime' "
        f"takes it, or the annotation {labels.UPDATE_RUNTIME}={found.image_for(domain)}.",
    )


def _changed_fields(before: RecordedRuntime, after: RecordedRuntime, domain: str | None) -> list[str]:
    """Return the changed fields by their names in YAML, without the images that these pods do not use."""
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    is_same_image = before.image_for(domain) == after.image_for(domain)
    images = set() if is_same_image else {one.image_field(domain) for one in (before, after)}
    return sorted((changed - {"requested", "image", "gpuImage", "gpuImages"}) | images)


def _with_image(
    runtime: RecordedRuntime, request: RuntimeRequest, *, is_recorded: bool = False
) -> RecordedRuntime | RuntimeProblem:
    """Return the runtime if it has an image for what is asked; what was recorded of one cannot be mended."""
    if request.domain is None or has_image(runtime, request.domain):
        return runtime
    is_other = request.domain != NVIDIA.domain
    asked = f"spec.gpu asks for a GPU of {request.domain}" if is_other else "spec.gpu is set"
    field = f"spec.gpuImages[{request.domain}]" if is_other else "spec.gpuImage"
    value = f"defaultRuntime.{'gpuImages' if is_other else 'gpuImage'}"
    set_it = "" if is_recorded else f"set it (the chart's value {value} for its default runtime), "
    recorded = ", as a revision recorded it" if is_recorded else ""
    return RuntimeProblem(
        reason="GpuImageMissing",
        message=(
            f"{asked}, but ModelRuntime {runtime.name!r} has no {field}{recorded}: "
            f"{set_it}name a ModelRuntime that has one in spec.runtime.ref, or remove spec.gpu."
        ),
    )


def _look_up(ref: str | None, runtimes: Sequence[Mapping[str, Any]]) -> RecordedRuntime | RuntimeProblem:
    matches = [
        runtime
        for runtime in runtimes
        if (labels.is_default_runtime(runtime) if ref is None else _name(runtime) == ref)
    ]
    if not matches:
        return _not_found(ref, runtimes)
    if len(matches) > 1:
        return _ambiguous(sorted(map(_name, matches)))
    return _read(ref, matches[0])


def _read(ref: str | None, runtime: Mapping[str, Any]) -> RecordedRuntime | RuntimeProblem:
    try:
        return _record(runtime, ref)
    except InvalidSpec as error:
        return RuntimeProblem(
            reason="RuntimeInvalid",
            message=f"ModelRuntime {_name(runtime)!r} is invalid, correct it: {error}",
        )


@remembered(64)
def _record(runtime: Mapping[str, Any], ref: str | None) -> RecordedRuntime:
    return record_runtime(ref, parse_model_runtime(runtime))


def _name(runtime: Mapping[str, Any]) -> str:
    return str(runtime["metadata"]["name"])


def _not_found(ref: str | None, runtimes: Sequence[Mapping[str, Any]]) -> RuntimeProblem:
    existing = sorted(map(_name, runtimes))
    shown = ", ".join(existing[:_NAMES_SHOWN]) + (", ..." if len(existing) > _NAMES_SHOWN else "")
    what_exists = f"existing ones: {shown}" if existing else "the cluster has none"
    if any(map(labels.is_installed_runtime, runtimes)):
        asked = f"ModelRuntime {ref!r} is not among" if ref is not None else "None is the default of"
        name_one = "name one of them in spec.runtime.ref" + (", or leave it out" if ref is not None else "")
        message = (
            f"{asked} those of this operator's installation ({shown}), and it reads no others: {name_one}, "
            f"or add it to the chart's {_CHART_VALUE}."
        )
    elif ref is not None:
        message = (
            f"ModelRuntime {ref!r} does not exist ({what_exists}): create it, or correct spec.runtime.ref."
        )
    else:
        message = (
            f"No ModelRuntime is the default ({what_exists}): name one in spec.runtime.ref, or annotate one "
            f'with {labels.DEFAULT_RUNTIME}: "true".'
        )
    return RuntimeProblem(reason="RuntimeNotFound", message=message)


def _ambiguous(defaults: list[str]) -> RuntimeProblem:
    return RuntimeProblem(
        reason="RuntimeAmbiguous",
        message=(
            f"Several ModelRuntimes are annotated as the default ({', '.join(defaults)}): remove "
            f"{labels.DEFAULT_RUNTIME} from all but one, or name one in spec.runtime.ref."
        ),
    )
