"""Limits and defaults of namespaces, held by a real API server: what they do, and whom they leave alone."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.api import ApiError
from tests.support.manifests import SMALLEST_SPECS, merge_patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hack.cluster.cluster import Cluster
    from tests.support.chart import Chart

FILLING = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
DEFAULTS = {"maxReplicas": 4}
LIMITS = {
    "modelservice.dev/allowed-runtimes": "onnx, small",
    "modelservice.dev/allowed-sources": "oci://registry.example/models/, s3://models/",
    "modelservice.dev/max-replicas": "3",
    "modelservice.dev/max-gpus": "2",
}
URI = "oci://registry.example/models/spam:3"


class Tenant:
    """Whoever writes ModelServices in a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._api = cluster.api
        self._namespace = namespace
        self._path = f"/apis/modelservice.dev/v1alpha1/namespaces/{namespace}/modelservices"

    def limit(self, annotations: dict[str, Any]) -> None:
        """What a platform team writes; None takes a limit away."""
        patch = {"metadata": {"annotations": annotations}}
        self._api.patch(f"/api/v1/namespaces/{self._namespace}", patch)

    def create(self, name: str, *, dry: bool = False, version: str = "v1alpha1", **spec: Any) -> None:
        path = self._path.replace("v1alpha1", version)
        self._api.create(path + ("?dryRun=All" if dry else ""), self._body(name, version, **spec))

    @staticmethod
    def _body(name: str, version: str = "v1alpha1", **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": f"modelservice.dev/{version}",
            "kind": "ModelService",
            "metadata": {"name": name},
            "spec": merge_patch(SMALLEST_SPECS["ModelService"], spec),
        }

    def spec(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = self._api.get(f"{self._path}/{name}")["spec"]
        return spec

    def filled(self) -> dict[str, Any]:
        """What a new ModelService would be, as the API server answers a trial."""
        spec: dict[str, Any] = self._api.create(self._path + "?dryRun=All", self._body("probe"))["spec"]
        return spec

    def edit(self, name: str, patch: Any, subresource: str = "") -> None:
        self._api.patch(f"{self._path}/{name}{subresource}", patch)

    def delete(self, name: str) -> None:
        self._api.delete(f"{self._path}/{name}")
        self._api.wait_gone(f"{self._path}/{name}")

    def refusal(self, **spec: Any) -> str:
        """Why a new one is refused; empty where it is not. Limits are heard of after a moment."""
        try:
            self.create("probe", dry=True, **spec)
        except ApiError as error:
            if error.code != 422:
                raise
            return error.message
        return ""

    def wait_refused(self, **spec: Any) -> None:
        _wait_for(lambda: bool(self.refusal(**spec)))

    def wait_scale_held(self, name: str, replicas: int) -> None:
        """Wait for the policy of `/scale`: a policy of its own, which the API server may hear of later."""

        def is_refused() -> bool:
            try:
                self.edit(name, {"spec": {"replicas": replicas}}, "/scale?dryRun=All")
            except ApiError as error:
                if error.code != 422:
                    raise
                return True
            return False

        _wait_for(is_refused)


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def tenant(crds: Cluster, namespace: str, chart: Chart) -> Iterator[Tenant]:
    """A tenant under policies that hold for this namespace alone; four pods are the default limit."""
    values = {
        "tenancy": {"policies": {"enabled": True, "defaults": DEFAULTS}},
        "operator": {"watchNamespaces": [namespace]},
    }
    made = [one for one in chart.render(values) if one["kind"] in POLICIES]
    assert len(made) == 4
    with _applied(crds, made):
        yield Tenant(crds, namespace)


@pytest.fixture
def newcomer(crds: Cluster, namespace: str, chart: Chart) -> Iterator[Tenant]:
    """A tenant in a namespace whose defaults are filled in."""
    values = {
        "tenancy": {"namespaceDefaults": {"enabled": True}},
        "operator": {"watchNamespaces": [namespace]},
    }
    made = [one for one in chart.render(values) if one["kind"] in FILLING]
    assert len(made) == 2
    with _applied(crds, made):
        yield Tenant(crds, namespace)


@contextmanager
def _applied(cluster: Cluster, objects: list[dict[str, Any]]) -> Iterator[None]:
    for one in objects:
        cluster.api.apply(one)
    try:
        yield
    finally:
        for one in reversed(objects):
            cluster.api.delete(cluster.api.path_of(one))


def test_limits_of_a_namespace_are_held_and_spare_what_was_there(tenant: Tenant) -> None:
    # Without an annotation the default of the cluster holds.
    tenant.wait_refused(replicas=5)
    proxy = {"name": "HTTPS_PROXY", "value": "http://proxy.example"}
    large: dict[str, Any] = {"replicas": 4, "runtime": {"ref": "other"}, "gpu": {"count": 1}, "env": [proxy]}
    tenant.create("large", **large, explainer={"replicas": 4})
    assert "at most 4 pods" in tenant.refusal(replicas=5)

    tenant.limit(LIMITS)
    tenant.wait_refused(replicas=4)
    message = tenant.refusal(replicas=4)
    assert "spec.replicas" in message
    assert "has at most 3 pods for a ModelService" in message
    assert "got 4" in message
    assert "got 9" in tenant.refusal(
        resources={"requests": {"cpu": "1"}}, autoscaling={"minReplicas": 1, "maxReplicas": 9}
    )
    assert "has at most 2 GPUs" in tenant.refusal(replicas=3, gpu={"count": 1})
    assert "spec.runtime.ref" in tenant.refusal(runtime={"ref": "other"})
    for source in ("oci://registry.example/others/spam:3", "oci://registry.example.evil/models/spam:3"):
        assert "takes models from oci://registry.example/models/" in tenant.refusal(
            model={"storageUri": source}
        )
    for source, is_refused in (("s3://others/rows.csv", True), ("s3://models/rows.csv", False)):
        data = {"storageUri": source}
        message = tenant.refusal(rollout={"evaluation": {"data": data, "min": "0.5"}})
        assert ("takes data from oci://registry.example/models/" in message) == is_refused
    adapters = [
        {"name": str(number), "file": "a.onnx_adapter", "storageUri": f"s3://{bucket}/{number}/"}
        for number, bucket in enumerate(("models", "others"))
    ]
    message = tenant.refusal(generation={"adapters": adapters})
    assert "spec.generation.adapters.storageUri" in message
    assert "takes adapters from oci://registry.example/models/" in message
    assert message.endswith("got s3://others/1/")
    assert tenant.refusal(generation={"adapters": adapters[:1]}) == ""
    assert "spec.explainer.replicas" in tenant.refusal(explainer={"replicas": 4})
    assert tenant.refusal(explainer={}) == ""
    for name in ("HF_ENDPOINT", "HTTPS_PROXY", "http_proxy", "NO_PROXY"):
        for way in ({"value": "http://elsewhere.example"}, {"secretName": "elsewhere"}):
            message = tenant.refusal(env=[{"name": "TZ", "value": "UTC"}, {"name": name, **way}])
            assert "spec.env" in message
            assert f"leave out {name}" in message
    assert tenant.refusal(env=[{"name": "TZ", "value": "UTC"}]) == ""
    tenant.create("small", replicas=2, gpu={"count": 1}, runtime={"ref": "small"}, version="v1beta1")
    tenant.create("plain", model={"storageUri": "s3://models/spam"})
    tenant.wait_scale_held("small", 5)

    # What was there before is edited, made smaller and deleted as ever; only more is refused.
    tenant.edit("large", {"metadata": {"labels": {"team": "mail"}}})
    with pytest.raises(ApiError, match="leave out HTTPS_PROXY"):
        tenant.edit("large", {"spec": {"model": {"storageUri": URI + "1"}}})
    with pytest.raises(ApiError, match="leave out HTTPS_PROXY"):
        tenant.edit("large", {"spec": {"generation": {"adapters": adapters[:1]}}})
    with pytest.raises(ApiError, match="leave out HTTPS_PROXY"):
        tenant.edit("large", {"spec": {"env": [{**proxy, "value": "http://elsewhere.example"}]}})
    tenant.edit("large", {"spec": {"model": {"storageUri": URI + "1"}, "env": None}})
    tenant.edit("large", {"status": {"replicas": 4}}, "/status")
    tenant.edit("large", {"spec": {"replicas": 3}})
    with pytest.raises(ApiError, match="at most 3 pods"):
        tenant.edit("large", {"spec": {"replicas": 4}})
    with pytest.raises(ApiError, match="at most 3 pods"):
        tenant.edit("small", {"spec": {"replicas": 5}}, "/scale")
    tenant.edit("small", {"spec": {"replicas": 0}}, "/scale")
    tenant.limit({"modelservice.dev/max-replicas": "0"})
    tenant.wait_refused(replicas=1)
    with pytest.raises(ApiError, match="at most 0 pods"):
        tenant.edit("small", {"spec": {"replicas": 1}}, "/scale")
    with pytest.raises(ApiError, match="at most 0 pods"):
        tenant.edit("small", {"spec": {"replicas": 1}})
    for name in ("large", "small", "plain"):
        tenant.delete(name)

    # What nobody can read as a number refuses with what it is, and taken away it holds no more.
    tenant.limit({**dict.fromkeys(LIMITS), "modelservice.dev/max-gpus": "none"})
    tenant.wait_refused(gpu={"count": 1})
    assert "at most none GPUs" in tenant.refusal(gpu={"count": 1})
    assert tenant.refusal(replicas=4, runtime={"ref": "other"}) == ""


def test_defaults_of_a_namespace_fill_in_what_is_left_out_and_change_nothing_that_is_there(
    newcomer: Tenant,
) -> None:
    newcomer.create("before")
    before = newcomer.spec("before")
    newcomer.limit(
        {
            "modelservice.dev/default-runtime": "small",
            "modelservice.dev/default-service-account": "models",
            "modelservice.dev/default-pull-secret": "registry",
            "modelservice.dev/default-priority-class": "serving",
        }
    )
    _wait_for(lambda: "runtime" in newcomer.filled())
    filled = {
        "runtime": {"ref": "small"},
        "serviceAccountName": "models",
        "imagePullSecrets": [{"name": "registry"}],
        "scheduling": {"priorityClassName": "serving"},
    }
    newcomer.create("left-out")
    assert newcomer.spec("left-out") == {**before, **filled}

    # What is said holds, and what stands beside it stays.
    own = {
        "runtime": {"ref": "large"},
        "serviceAccountName": "mine",
        "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
        "scheduling": {"nodeSelector": {"disk": "ssd"}},
    }
    newcomer.create("own", version="v1beta1", **own)
    priority = {"scheduling": {"nodeSelector": {"disk": "ssd"}, "priorityClassName": "serving"}}
    assert newcomer.spec("own") == {**before, **own, **priority}

    # What was there before is left alone by any edit; a field that is taken away comes back as the default.
    newcomer.edit("before", {"spec": {"replicas": 2}})
    assert newcomer.spec("before") == {**before, "replicas": 2}
    newcomer.edit("own", {"spec": {"runtime": None, "imagePullSecrets": None}})
    found = newcomer.spec("own")
    assert (found["runtime"], found["imagePullSecrets"]) == (filled["runtime"], filled["imagePullSecrets"])

    newcomer.limit({"modelservice.dev/default-runtime": None})
    _wait_for(lambda: "runtime" not in newcomer.filled())
    assert newcomer.filled()["serviceAccountName"] == "models"
