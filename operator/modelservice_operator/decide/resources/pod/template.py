"""The pod template of a revision: everything in it is a function of the revision's snapshot.

Pods meet the Pod Security standard "restricted". There is no runAsUser: clusters such as OpenShift assign
one, and the image's own user is a number that is not root.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.metadata import revision_selector
from modelservice_operator.decide.resources.pod.accelerator import (
    accelerator_args,
    device_args,
    engine_mounts,
    engine_volumes,
)
from modelservice_operator.decide.resources.pod.access import access_args, access_mounts, access_volumes
from modelservice_operator.decide.resources.pod.adapters import AdapterParts, adapter_uris, build_adapters
from modelservice_operator.decide.resources.pod.model_source import (
    ModelSource,
    build_model_source,
    model_mount,
)
from modelservice_operator.decide.resources.pod.scheduling import scheduling_fields
from modelservice_operator.decide.resources.pod.server import (
    batching_args,
    environment,
    generation_args,
    sample_args,
    server_args,
)
from modelservice_operator.decide.resources.pod.sizing import (
    GPU_CLAIM,
    Amounts,
    container_resources,
    cpus_asked_for,
    execution_providers,
    intra_op_threads,
    with_gpus,
    with_memory,
)
from modelservice_operator.decide.revision import image_domain
from modelservice_operator.facts import names, ports

if TYPE_CHECKING:
    from modelservice_operator.api import ModelServiceSpec
    from modelservice_operator.decide.revision import RecordedRuntime

CPUS_VARIABLE = "MODELSERVICE_CPUS"
"""How many CPUs the server may count on where no limit tells it: it would count the node's."""
_TMP_SIZE_LIMIT = "1Gi"
_READY_PATH = "/v2/health/ready"
_LIVE_PATH = "/v2/health/live"
_LONGEST_START_SECONDS = 3600
"""A model may take long to load; the rollout's progress deadline is what gives a slow start up."""


class PodInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod template is made of."""

    service: str
    revision: str
    spec: ModelServiceSpec
    runtime: RecordedRuntime

    @property
    def model(self) -> str:
        """The model's name in the protocols."""
        return self.spec.model.name or self.service

    @property
    def image(self) -> str:
        """The runtime's image; with a GPU the one for such GPUs."""
        return self.runtime.image_for(image_domain(self.spec.gpu))


PodBuilder = Callable[[PodInputs], dict[str, Any]]


def build_pod_template(inputs: PodInputs) -> dict[str, Any]:
    """Return the pod template (core/v1 PodTemplateSpec)."""
    spec = inputs.spec
    source = build_model_source(spec.model, generative=spec.generation is not None)
    adapters = build_adapters(spec.generation, inputs.model)
    resources = container_resources(spec, inputs.runtime)
    pod: dict[str, Any] = {
        "serviceAccountName": spec.service_account_name or names.service_account(inputs.service),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **source.security_context,
        },
        "containers": [_server(inputs, source, adapters, resources)],
        "volumes": [
            *source.volumes,
            *adapters.volumes,
            {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE_LIMIT}},
            *engine_volumes(spec.runtime),
            *access_volumes(spec),
        ],
        **scheduling_fields(inputs.service, inputs.revision, spec),
        **_claims(inputs),
    }
    if source.fetch_args is not None or adapters.fetch_args:
        pod["initContainers"] = [_fetch(inputs, source, adapters, resources)]
    pull_secrets = _pull_secrets(inputs)
    if pull_secrets:
        pod["imagePullSecrets"] = pull_secrets
    return {"metadata": _pod_metadata(inputs), "spec": pod}


def _claims(inputs: PodInputs) -> dict[str, Any]:
    """Return the claim of the pod's device, made from the template that belongs to the revision."""
    if inputs.spec.gpu is None or inputs.spec.gpu.claim is None:
        return {}
    template = names.of_revision(inputs.service, inputs.revision)
    return {"resourceClaims": [{"name": GPU_CLAIM, "resourceClaimTemplateName": template}]}


def _pull_secrets(inputs: PodInputs) -> list[dict[str, str]]:
    """Return the ModelService's, then those of its runtime: each once, the list is known by name."""
    own = [secret.name for secret in inputs.spec.image_pull_secrets]
    wanted = dict.fromkeys([*own, *(secret.name for secret in inputs.runtime.image_pull_secrets)])
    return [{"name": name} for name in wanted]


def _pod_metadata(inputs: PodInputs) -> dict[str, Any]:
    wanted = inputs.spec.pod_metadata
    scrape = {"scrape": "true", "port": str(ports.METRICS), "path": "/metrics"}
    return {
        "labels": {**wanted.labels, **revision_selector(inputs.service, inputs.revision)},
        "annotations": {
            **wanted.annotations,
            **{f"prometheus.io/{key}": value for key, value in scrape.items()},
        },
    }


def _server(
    inputs: PodInputs, source: ModelSource, adapters: AdapterParts, resources: dict[str, Amounts]
) -> dict[str, Any]:
    return {
        **_container(names.SERVER_CONTAINER, inputs.image, with_gpus(resources, inputs.spec)),
        **_server_environment(inputs, resources),
        "args": _server_args(inputs, source, adapters, resources),
        "ports": [
            {"name": ports.HTTP_NAME, "containerPort": ports.HTTP, "protocol": "TCP"},
            {"name": ports.GRPC_NAME, "containerPort": ports.GRPC, "protocol": "TCP"},
            {"name": ports.METRICS_NAME, "containerPort": ports.METRICS, "protocol": "TCP"},
        ],
        "volumeMounts": [
            model_mount(read_only=True),
            *adapters.server_mounts,
            _tmp_mount(),
            *engine_mounts(inputs.spec.runtime),
            *access_mounts(inputs.spec),
        ],
        "startupProbe": {
            **_probe(_READY_PATH, inputs.spec),
            # Every second: a pod is ready one second after its model, not one long period later.
            "periodSeconds": 1,
            "failureThreshold": _LONGEST_START_SECONDS,
        },
        "readinessProbe": {**_probe(_READY_PATH, inputs.spec), "periodSeconds": 5, "failureThreshold": 2},
        # A minute: a busy server is not a dead one.
        "livenessProbe": {**_probe(_LIVE_PATH, inputs.spec), "periodSeconds": 10, "failureThreshold": 6},
    }


def _server_environment(inputs: PodInputs, resources: dict[str, Amounts]) -> dict[str, Any]:
    """A variable, where an argument would keep an older image from starting."""
    asked = cpus_asked_for(resources)
    own = environment(inputs.spec, for_fetcher=False).get("env", [])
    variables = [*own] if asked is None else [{"name": CPUS_VARIABLE, "value": str(asked)}, *own]
    return {"env": variables} if variables else {}


def _fetch(
    inputs: PodInputs, source: ModelSource, adapters: AdapterParts, resources: dict[str, Amounts]
) -> dict[str, Any]:
    """The fetcher gets the server's share of CPU and memory: quotas are met, the pod's request stays.

    Files in memory come on top. They stay when it is done; the pod's own request and limit are those of its
    largest container, so that there is room for them beside the server's.
    """
    if source.memory_bytes:
        resources = with_memory(resources, source.memory_bytes)
    args = [*(source.fetch_args or ["fetch"]), *adapters.fetch_args]
    uris = [inputs.spec.model.storage_uri, *adapter_uris(args)]
    if inputs.spec.service_account_name and any(uri.startswith("gs://") for uri in uris):
        args = [*args, "--pod-identity"]  # GKE tells no pod that it has an identity
    return {
        **_container(names.FETCH_CONTAINER, inputs.image, resources),
        **environment(inputs.spec, for_fetcher=True),
        "args": args,
        "volumeMounts": [*source.fetch_mounts, *adapters.fetch_mounts, _tmp_mount()],
    }


def _container(name: str, image: str, resources: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if resources:
        container["resources"] = copy.deepcopy(dict(resources))
    return container


def _tmp_mount() -> dict[str, Any]:
    return {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  a path in the container


def _probe(path: str, spec: ModelServiceSpec) -> dict[str, Any]:
    """The paths need no key and no certificate, and the kubelet checks none of the server's."""
    get = {"path": path, "port": ports.HTTP_NAME}
    return {"httpGet": get if spec.tls is None else {**get, "scheme": "HTTPS"}, "timeoutSeconds": 5}


def _server_args(
    inputs: PodInputs, source: ModelSource, adapters: AdapterParts, resources: dict[str, Amounts]
) -> list[str]:
    spec = inputs.spec
    args = ["serve", "--model", f"{inputs.model}={source.path}"]
    if spec.model.version:
        args += ["--model-version", spec.model.version]
    args += ["--host", "::"]  # clients come from outside the pod, over IPv4 or IPv6
    args += ["--http-port", str(ports.HTTP), "--grpc-port", str(ports.GRPC)]
    args += ["--metrics-port", str(ports.METRICS)]
    providers = execution_providers(spec, inputs.runtime)
    for provider in providers:
        args += ["--execution-provider", provider]
    args += ["--intra-op-threads", str(intra_op_threads(spec, inputs.runtime, resources))]
    args += [*accelerator_args(spec.runtime), *device_args(spec.gpu, providers)]
    args += [*server_args(spec.server), *access_args(spec)]
    args += [*batching_args(spec.batching), *generation_args(spec.generation)]
    args += adapters.server_args
    args += sample_args(spec.model.samples)
    args += ["--verify-proof"] if spec.model.verify else []
    delay_seconds, timeout_seconds = drain_seconds(spec.termination_grace_period_seconds)
    args += ["--drain-delay-seconds", str(delay_seconds)]
    return [*args, "--drain-timeout-seconds", str(timeout_seconds)]


def drain_seconds(grace_period_seconds: int) -> tuple[int, int]:
    """Return (delay, timeout) of the server's drain; their sum stays below the pod's grace period.

    The delay keeps the server answering until every proxy has heard that the pod is going: 5 s, less where
    the grace period is short. As much is kept back for the end of the process.
    """
    delay = min(5, grace_period_seconds // 4)
    kept_back = max(1, delay)
    return delay, max(0, grace_period_seconds - delay - kept_back)
