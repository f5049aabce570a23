"""An explainer comes and goes beside a model that serves, written by the real operator."""

from __future__ import annotations

from tests.support.operator_process import wait_until

NAME = "spam-explainer"


def names(kube, kind):
    return {one["metadata"]["name"] for one in kube.items(kind)}


def pods_of_the_model(kube):
    found = kube.api.get(f"{kube.path('pods')}?labelSelector=modelservice.dev/name=spam")["items"]
    return [one["metadata"]["uid"] for one in found]


def test_an_explainer_comes_and_goes_and_the_models_pods_stay(kube, make_operator):
    make_operator().start()
    kube.apply_service()
    kube.wait_ready()
    before = pods_of_the_model(kube)
    assert len(before) == 1

    path = kube.path("modelservices", "spam")
    kube.api.patch(path, {"spec": {"explainer": {"method": "shap"}}})
    service = kube.api.wait_for(
        path,
        lambda found: found["status"].get("explainer", {}).get("readyReplicas") == 1,
        what="explained",
        timeout_seconds=120,
    )
    host = f"{NAME}.{kube.namespace}.svc"
    assert service["status"]["explainer"]["url"] == f"http://{host}/v1/models/spam:explain"
    for kind in ("deployments", "services", "networkpolicies"):
        assert NAME in names(kube, kind)
    slices = kube.api.get(f"{kube.path('endpointslices')}?labelSelector=kubernetes.io/service-name=spam")
    leads_to = [one["targetRef"]["uid"] for piece in slices["items"] for one in piece["endpoints"] or ()]
    assert leads_to == before, "clients of the model are led to its pod alone"

    kube.api.patch(path, {"spec": {"explainer": None}})
    wait_until(lambda: NAME not in names(kube, "deployments"), "the explainer is gone", 120)
    kube.wait_ready()
    assert "explainer" not in kube.service()["status"]
    assert pods_of_the_model(kube) == before
