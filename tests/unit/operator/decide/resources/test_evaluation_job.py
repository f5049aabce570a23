"""The pod of an evaluation has both models, wherever they come from, and each has what is its own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from modelservice_operator.api import Evaluation, ModelServiceSpec
from modelservice_operator.decide.resources.evaluation.identity import identify
from modelservice_operator.decide.resources.evaluation.job import JobInputs, build_evaluation_job
from modelservice_operator.decide.resources.metadata import Owner
from modelservice_operator.decide.resources.pod.template import PodInputs, build_pod_template
from modelservice_operator.decide.revision import RecordedRuntime, Revision, Snapshot, revision_inputs

SHA = "a" * 64
OWNER = Owner(name="spam", namespace="mail", uid="uid")
MODELS: dict[str, dict[str, Any]] = {
    "artifact": {"storageUri": "oci://registry.example/spam:1", "credentials": {"secretName": "registry"}},
    "pinned": {"storageUri": "oci://registry.example/spam:1", "sha256": SHA, "cache": {"claimName": "cache"}},
    "claim": {"storageUri": "pvc://models/spam.onnx", "sha256": SHA, "fsGroup": 2000},
    "config-map": {"storageUri": "configmap://tiny/model.onnx"},
    "image": {"storageUri": "oci://registry.example/spam:1", "imageVolume": {}},
    "encrypted": {
        "storageUri": "s3://models/spam.onnx",
        "maxSize": "1Mi",
        "decryption": {"secretName": "key"},
    },
}
DATA: dict[str, dict[str, Any]] = {
    "beside": {"file": "rows.csv"},
    "artifact": {"storageUri": "oci://registry.example/rows:1", "file": "rows.csv", "sha256": SHA},
    "bucket": {"storageUri": "s3://rows/rows.csv", "credentials": {"secretName": "rows"}},
    "claim": {"storageUri": "pvc://rows/a/rows.csv"},
    "folder": {"storageUri": "pvc://rows/a", "file": "rows.csv"},
    "config-map": {"storageUri": "configmap://rows/rows.csv"},
}


def make_revision(name: str, model: dict[str, Any], image: str = "onnx:1") -> Revision:
    spec = ModelServiceSpec.model_validate({"model": model})
    runtime = RecordedRuntime(name="onnx", image=image)
    template = build_pod_template(PodInputs(service="spam", revision=name, spec=spec, runtime=runtime))
    snapshot = Snapshot(inputs=revision_inputs(spec), runtime=runtime, template=template)
    return Revision(name=name, number=1, snapshot=snapshot, recorded=True)


def make_evaluation(data: dict[str, Any], **fields: Any) -> Evaluation:
    return Evaluation.model_validate({"data": data, "min": "0.5", **fields})


def build(candidate: Revision, stable: Revision | None, evaluation: Evaluation, retries: int = 0) -> Any:
    return build_evaluation_job(
        JobInputs(owner=OWNER, evaluation=evaluation, candidate=candidate, stable=stable, retries=retries)
    )


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize("new", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("old", MODELS.values(), ids=MODELS)
def test_every_mount_has_its_volume_and_every_name_is_once_there(
    new: dict[str, Any], old: dict[str, Any], data: dict[str, Any]
) -> None:
    job = build(make_revision("new", new, "onnx:2"), make_revision("old", old), make_evaluation(data))
    pod = job["spec"]["template"]["spec"]

    volumes = [one["name"] for one in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    containers = [*pod.get("initContainers", ()), *pod["containers"]]
    names = [one["name"] for one in containers]
    assert len(names) == len(set(names))
    for container in containers:
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(paths) == len(set(paths))
        assert {mount["name"] for mount in container["volumeMounts"]} <= {*volumes}
        assert container["image"] == "onnx:2"
        assert container["securityContext"]["readOnlyRootFilesystem"]
    mounted = {mount["name"] for one in containers for mount in one["volumeMounts"]}
    assert mounted == {*volumes}

    (scores,) = pod["containers"]
    args = dict(itertools.pairwise(scores["args"]))
    readable = [mount["mountPath"] for mount in scores["volumeMounts"]]
    for flag in ("--model", "--stable", "--data"):
        path = args[flag]
        assert "/" not in path or path.startswith(tuple(readable)), f"{flag} {path} of {readable}"
    assert args["--model"] != args["--stable"]
    assert args["--data"].rpartition("/")[2] == "rows.csv"


def test_secret_of_one_model_is_not_seen_by_what_fetches_the_other() -> None:
    new, old = make_revision("new", MODELS["encrypted"]), make_revision("old", MODELS["artifact"])
    pod = build(new, old, make_evaluation(DATA["bucket"]))["spec"]["template"]["spec"]

    secrets = {one["name"]: one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one}
    seen = {
        one["name"]: {secrets[mount["name"]] for mount in one["volumeMounts"] if mount["name"] in secrets}
        for one in (*pod["initContainers"], *pod["containers"])
    }
    assert seen == {
        "fetch": {"key"},
        "stable-fetch": {"registry"},
        "fetch-data": {"rows"},
        "evaluation": set(),
    }


def test_name_follows_from_what_is_done() -> None:
    new, old = make_revision("new", MODELS["pinned"]), make_revision("old", MODELS["artifact"])
    evaluation = make_evaluation(DATA["artifact"])
    names = [
        build(*parts)["metadata"]["name"]
        for parts in (
            (new, old, evaluation),
            (new, None, evaluation),
            (new, old, evaluation, 1),
            (new, old, make_evaluation(DATA["claim"])),
            (new, old, make_evaluation(DATA["artifact"], metric="F1Macro")),
            (make_revision("new", MODELS["pinned"], "onnx:2"), old, evaluation),
        )
    ]

    assert len(set(names)) == len(names)
    assert build(new, old, evaluation)["metadata"]["name"] == names[0]
    # A bound changes no measurement.
    assert build(new, old, make_evaluation(DATA["artifact"], min="0.9"))["metadata"]["name"] == names[0]


@pytest.mark.parametrize(
    ("data", "model", "is_same"),
    [
        (DATA["artifact"], MODELS["pinned"], True),
        (DATA["artifact"], MODELS["artifact"], False),
        (DATA["claim"], MODELS["pinned"], False),
        (DATA["beside"], MODELS["pinned"], False),
        (
            {"file": "rows.csv"},
            {"storageUri": "oci://registry.example/spam@sha256:" + SHA},
            True,
        ),
    ],
)
def test_measurement_is_the_same_for_another_revision_only_where_digests_pin_all(
    data: dict[str, Any], model: dict[str, Any], is_same: bool
) -> None:
    one, two = (
        identify(make_evaluation(data), make_revision(name, model), make_revision("old", MODELS["claim"]))
        for name in ("one", "two")
    )

    assert (one.key == two.key, one.candidate == two.candidate) == (is_same, is_same)
