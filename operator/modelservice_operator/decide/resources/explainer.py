"""The explainer: a Deployment, a Service and a NetworkPolicy of its own, beside the model's.

Its pods carry another label than the model's, so no selector of the model's finds them: no Service, budget,
policy or autoscaler. Nothing here is part of a revision: setting or removing it restarts no pod of the model.
It runs the image that the serving revision recorded, so an upgraded operator changes no image of it either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.api import ExplainerSpec, parse_part
from modelservice_operator.decide.resources.metadata import Owner, build_metadata, service_selector
from modelservice_operator.decide.resources.network_policy import (
    DNS_PORT,
    OPENSHIFT_DNS_PORT,
    policy_port,
    to_dns,
)
from modelservice_operator.decide.resources.service import app_protocol
from modelservice_operator.decide.revision import is_encrypted
from modelservice_operator.facts import access_files, labels, names, ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.api import ModelServiceSpec
    from modelservice_operator.decide.revision import Revision

_MODULE = "modelservice_pipeline.explainer"
_RESOURCES: dict[str, Any] = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}
_TMP_SIZE_LIMIT = "64Mi"
_CERTIFICATE_VOLUME = "certificate"
_READABLE_BY_ALL = 0o444
"""As of the model's pods: the container's user is not root, and there is no fsGroup."""
_AUTHORITY = {"key": access_files.SERVER_CA, "path": access_files.SERVER_CA}


class Explainer(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted, and the revision that serves: the one whose image and model are taken."""

    spec: ExplainerSpec
    serving: Revision

    @property
    def model(self) -> Mapping[str, Any]:
        """`spec.model` of the revision."""
        inputs: Mapping[str, Any] = self.serving.snapshot.inputs.get("model", {})
        return inputs

    @property
    def certificate_secret(self) -> str | None:
        """The Secret with the certificate of the model, and so of the explainer; None without TLS."""
        tls: Mapping[str, Any] | None = self.serving.snapshot.inputs.get("tls")
        return str(tls["secretName"]) if tls else None


def find_explainer(
    service: Mapping[str, Any], spec: ModelServiceSpec | None, serving: Revision
) -> Explainer | None:
    """Return what is wanted; where the spec cannot be read (None), its part is read apart from the rest."""
    wanted = spec.explainer if spec else parse_part(service, "explainer", ExplainerSpec)
    return None if wanted is None else Explainer(spec=wanted, serving=serving)


def pod_labels(owner: Owner) -> dict[str, str]:
    """Return the labels of the explainer's pods; those of the model's are others."""
    return {labels.EXPLAINER: owner.name}


def build_explainer(
    owner: Owner,
    wanted: Explainer,
    *,
    peers: Sequence[Mapping[str, Any]] | None,
    components: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return its objects.

    `peers` may ask it: those that may ask the model, empty for everybody, None for no policy. `components`
    are pods of ours, of which the activator answers for a model that sleeps.
    """
    policy = [] if peers is None else [_network_policy(owner, peers, components)]
    return [*policy, _deployment(owner, wanted), _service(owner, wanted)]


def model_name(service: str, wanted: Explainer) -> str:
    """Return the model's name in the protocols."""
    return str(wanted.model.get("name") or service)


def explain_path(model: str) -> str:
    """Return the path that is asked."""
    return f"/v1/models/{model}:explain"


def _deployment(owner: Owner, wanted: Explainer) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": build_metadata(owner, names.explainer(owner.name)),
        "spec": {
            "replicas": wanted.spec.replicas,
            "selector": {"matchLabels": pod_labels(owner)},
            "template": {"metadata": {"labels": pod_labels(owner)}, "spec": _pod(owner, wanted)},
        },
    }


def _pod(owner: Owner, wanted: Explainer) -> dict[str, Any]:
    runtime, inputs = wanted.serving.snapshot.runtime, wanted.serving.snapshot.inputs
    secrets = dict.fromkeys(
        [
            *(str(one["name"]) for one in inputs.get("imagePullSecrets", ())),
            *(secret.name for secret in runtime.image_pull_secrets),
        ]
    )
    return {
        "serviceAccountName": names.service_account(owner.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(owner, wanted, runtime.image)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE_LIMIT}}, *_certificate(wanted)],
        **({"imagePullSecrets": [{"name": name} for name in secrets]} if secrets else {}),
    }


def _container(owner: Owner, wanted: Explainer, image: str) -> dict[str, Any]:
    resources = wanted.spec.resources
    return {
        "name": names.EXPLAINER_CONTAINER,
        "image": image,
        "command": ["python", "-m", _MODULE],
        "args": _args(owner, wanted),
        "ports": [{"name": ports.HTTP_NAME, "containerPort": ports.HTTP, "protocol": "TCP"}],
        "resources": _RESOURCES if resources is None else resources.to_dict(),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a path in the container
            *(
                {"name": volume["name"], "mountPath": access_files.DIRECTORY, "readOnly": True}
                for volume in _certificate(wanted)
            ),
        ],
        "startupProbe": {**_probe("ready", wanted), "periodSeconds": 1, "failureThreshold": 120},
        "readinessProbe": {**_probe("ready", wanted), "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**_probe("live", wanted), "periodSeconds": 10, "failureThreshold": 6},
    }


def _args(owner: Owner, wanted: Explainer) -> list[str]:
    encrypted = is_encrypted(wanted.serving.snapshot)
    url = names.url(owner.name, owner.namespace, model_name(owner.name, wanted), is_encrypted=encrypted)
    args = ["--url", url, "--method", wanted.spec.method, "--host", "::", "--port", str(ports.HTTP)]
    if encrypted:
        args += ["--tls-cert", access_files.path_of(access_files.CERTIFICATE)]
        args += ["--tls-key", access_files.path_of(access_files.PRIVATE_KEY)]
        args += ["--ca-file", access_files.path_of(access_files.SERVER_CA)]
    return args


def _certificate(wanted: Explainer) -> list[dict[str, Any]]:
    """Return the volume with the certificate, its key and, if the Secret has it, its authority."""
    secret = wanted.certificate_secret
    if secret is None:
        return []
    pair = [access_files.CERTIFICATE, access_files.PRIVATE_KEY]
    sources = [
        {"secret": {"name": secret, "items": [{"key": key, "path": key} for key in pair]}},
        {"secret": {"name": secret, "items": [_AUTHORITY], "optional": True}},
    ]
    return [{"name": _CERTIFICATE_VOLUME, "projected": {"defaultMode": _READABLE_BY_ALL, "sources": sources}}]


def _probe(state: str, wanted: Explainer) -> dict[str, Any]:
    scheme = {"scheme": "HTTPS"} if is_encrypted(wanted.serving.snapshot) else {}
    get = {"path": f"/v2/health/{state}", "port": ports.HTTP_NAME, **scheme}
    return {"httpGet": get, "timeoutSeconds": 5}


def _service(owner: Owner, wanted: Explainer) -> dict[str, Any]:
    encrypted = is_encrypted(wanted.serving.snapshot)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": build_metadata(owner, names.explainer(owner.name)),
        "spec": {
            "selector": pod_labels(owner),
            "ports": [
                {
                    "name": ports.HTTP_NAME,
                    "port": ports.OF_HTTPS if encrypted else ports.OF_HTTP,
                    "protocol": "TCP",
                    "targetPort": ports.HTTP_NAME,
                    "appProtocol": app_protocol(ports.HTTP_NAME, is_encrypted=encrypted),
                }
            ],
        },
    }


def _network_policy(
    owner: Owner, peers: Sequence[Mapping[str, Any]], components: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    ingress: dict[str, Any] = {"ports": [policy_port(ports.HTTP, "TCP")]}
    if peers:
        ingress["from"] = [{**peer} for peer in peers]
    model: dict[str, Any] = {"podSelector": {"matchLabels": service_selector(owner.name)}}
    to_model = {"to": [model], "ports": [policy_port(ports.HTTP, "TCP")]}
    to_components = [{"to": [{**peer} for peer in components]}] if components else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build_metadata(owner, names.explainer(owner.name)),
        "spec": {
            "podSelector": {"matchLabels": pod_labels(owner)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [ingress],
            "egress": [to_dns(DNS_PORT, OPENSHIFT_DNS_PORT), to_model, *to_components],
        },
    }
