"""What users get wrong, and how they mend it."""

from collections.abc import Callable
from dataclasses import dataclass

from hack.cluster.api import Object
from tests.support.serving import SMALL, User, sha256_of
from tests.support.tiny_models import make_adder, make_hungry_adder

from modelservice_operator.api import parse_model_service
from modelservice_operator.decide.revision import RecordedRuntime, revision_inputs, revision_name

NO_SUCH_DIGEST = "0" * 64
NO_SUCH_IMAGE = "10.0.0.1:5000/no-such-runtime:1"


def _nothing(_user: User) -> None:
    return None


@dataclass(frozen=True)
class Fault:
    """One mistake: `spec` is applied after `prepare`; `mend` makes it good.

    `words` are those that the message must have: the cause, then the remedy.
    """

    name: str
    reason: str
    words: tuple[str, ...]
    spec: Callable[[User], Object]
    mend: Callable[[User], object]
    prepare: Callable[[User], object] = _nothing
    stalls: bool = False
    """Nothing is tried that could help before somebody acts: kstatus calls that Stalled."""
    pods_answer: bool = False
    """The pods are fine, only the way to them is not."""


def good(user: User) -> Object:
    """A model that all faults may share."""
    return {"model": user.push_adder(1)}


def _edit(name: str, spec: Object) -> Callable[[User], object]:
    return lambda user: user.edit(name, spec)


def _bad_bytes(user: User) -> Object:
    return {"model": user.push(b"\x08\x08 this is no model", "garbage")}


def _wrong_digest(user: User) -> Object:
    return {"model": {**user.push_adder(1), "sha256": NO_SUCH_DIGEST}}


def _missing_artifact(user: User) -> Object:
    uri = f"oci://10.0.0.1:5000/models/{user.namespace}:later"
    return {"model": {"storageUri": uri, "sha256": sha256_of(make_adder(1))}}


def _hungry(user: User) -> Object:
    """The server alone needs less than the limit, the model's 256 MB do not fit."""
    model = user.push(make_hungry_adder(1, 256), "hungry")
    return {"model": model, "resources": {"limits": {"memory": "192Mi"}}}


def _with_credentials(user: User) -> Object:
    return {"model": {**user.push_adder(1), "credentials": {"secretName": "store"}}}


def _create_secret(user: User) -> Object:
    data = {"username": "someone", "password": "nobody asks for it"}
    return user.cluster.api.create(user.path("secrets"), {"metadata": {"name": "store"}, "stringData": data})


def runtime(name: str, image: str) -> Object:
    """A ModelRuntime."""
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelRuntime",
        "metadata": {"name": name},
        "spec": {"image": image},
    }


def default_image(user: User) -> str:
    """The image of the installed default runtime."""
    found = user.cluster.api.get("/apis/modelservice.dev/v1alpha1/modelruntimes/onnx")
    return str(found["spec"]["image"])


def _apply_runtime(name: str, image: str | None) -> Callable[[User], object]:
    return lambda user: user.cluster.api.apply(
        runtime(f"{name}-{user.namespace}", image or default_image(user))
    )


def _runtime_ref(name: str) -> Callable[[User], Object]:
    return lambda user: {**good(user), "runtime": {"ref": f"{name}-{user.namespace}"}}


def _create_foreign_service(user: User) -> Object:
    spec = {"ports": [{"port": 1234}], "selector": {"app": "somebody-elses"}}
    return user.cluster.api.create(
        user.path("services"), {"metadata": {"name": "foreign-service"}, "spec": spec}
    )


def foreign_deployment_name(user: User) -> str:
    """The name that the operator will want for the Deployment of `foreign-deployment`."""
    name = "foreign-deployment"
    manifest = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": user.namespace},
        "spec": {**SMALL, **good(user)},
    }
    inputs = revision_inputs(parse_model_service(manifest).spec)
    recorded = RecordedRuntime(name="onnx", image=default_image(user))
    return f"{name}-{revision_name(inputs, recorded)}"


def _create_foreign_deployment(user: User) -> Object:
    labels = {"app": "somebody-elses"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    return user.cluster.api.create(
        user.path("deployments"),
        {
            "metadata": {"name": foreign_deployment_name(user)},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod},
        },
    )


def _delete(kind: str, name: Callable[[User], str]) -> Callable[[User], object]:
    return lambda user: user.cluster.api.delete(user.path(kind, name(user)))


FAULTS = (
    Fault(
        "bad-bytes",
        "ModelLoadFailed",
        ("model",),
        _bad_bytes,
        lambda user: user.edit("bad-bytes", good(user)),
    ),
    Fault(
        "wrong-digest",
        "DigestMismatch",
        (NO_SUCH_DIGEST[:12], "sha256"),
        _wrong_digest,
        lambda user: user.edit("wrong-digest", good(user)),
    ),
    Fault(
        "missing-artifact",
        "ModelNotFound",
        ("later", "storageUri"),
        _missing_artifact,
        lambda user: user.push(make_adder(1), "later"),
    ),
    Fault("missing-secret", "SecretNotFound", ("'store'", "create it"), _with_credentials, _create_secret),
    Fault(
        "small-memory",
        "OutOfMemory",
        ("limit of 192Mi", "raise spec.resources.limits.memory"),
        _hungry,
        _edit("small-memory", {"resources": {"limits": {"memory": "1Gi"}}}),
    ),
    Fault(
        "impossible-gpu",
        "Unschedulable",
        ("The only node does not fit: 1 without nvidia.com/mig-7g.80gb", "correct spec.gpu"),
        lambda user: {
            **_runtime_ref("gpu")(user),
            "runtime": {"ref": f"gpu-{user.namespace}", "executionProviders": ["CPU"]},
            "gpu": {"count": 1, "resource": "nvidia.com/mig-7g.80gb"},
        },
        _edit("impossible-gpu", {"gpu": None}),
        prepare=lambda user: user.cluster.api.apply(
            gpu_runtime(f"gpu-{user.namespace}", default_image(user))
        ),
    ),
    Fault(
        "wrong-image",
        "ImagePullFailed",
        (NO_SUCH_IMAGE, "correct the image of ModelRuntime"),
        _runtime_ref("broken"),
        _apply_runtime("broken", None),
        prepare=_apply_runtime("broken", NO_SUCH_IMAGE),
    ),
    Fault(
        "foreign-service",
        "NameConflict",
        ("foreign-service", "delete"),
        good,
        _delete("services", lambda _: "foreign-service"),
        prepare=_create_foreign_service,
        stalls=True,
        pods_answer=True,
    ),
    Fault(
        "foreign-deployment",
        "NameConflict",
        ("foreign-deployment-", "delete"),
        good,
        _delete("deployments", foreign_deployment_name),
        prepare=_create_foreign_deployment,
        stalls=True,
    ),
    Fault(
        "missing-runtime",
        "RuntimeNotFound",
        ("does not exist", "create it, or correct spec.runtime.ref"),
        _runtime_ref("absent"),
        _apply_runtime("absent", None),
        stalls=True,
    ),
)


def gpu_runtime(name: str, image: str) -> Object:
    """A ModelRuntime whose GPU image is the CPU one: the tests' GPUs are numbers only."""
    return {**runtime(name, image), "spec": {"image": image, "gpuImage": image}}
