"""Models that are encrypted, and models in container images, on the real node."""

import hashlib
import io
import re

import pytest
from hack.cluster.api import Object, condition_status
from hack.cluster.images import ImageBuild, build_and_push
from hack.cluster.node import NODE_NAME
from tests.support.serving import User, condition, is_current
from tests.support.tiny_models import make_adder

from modelservice_runtime.fetch.age import encrypt, new_identity, parse_recipient

SEALED, CAR = "sealed", "car"
PRIVATE, PUBLIC = new_identity()
DECRYPTION = {"maxSize": "16Mi", "decryption": {"secretName": "key"}}
MOUNTING_CONTAINERD = (2, 1)
"""From this version on containerd mounts images as volumes."""


def seal(data: bytes, public: str) -> bytes:
    sealed = io.BytesIO()
    encrypt(io.BytesIO(data), sealed, [parse_recipient(public)])
    return sealed.getvalue()


def test_encrypted_model_is_in_clear_in_memory_only_and_serves_on_where_another_has_no_key(
    user: User,
) -> None:
    secret = {"metadata": {"name": "key"}, "stringData": {"key.txt": PRIVATE}}
    user.cluster.api.create(user.path("secrets"), secret)
    user.apply(SEALED, model={**user.push(seal(make_adder(5), PUBLIC), "sealed"), **DECRYPTION})
    service = user.wait_ready(SEALED)
    assert user.ask(SEALED, 1) == 6
    assert service["status"]["model"]["sha256"] == hashlib.sha256(make_adder(5)).hexdigest()

    (pod,) = user.pods(SEALED).values()
    where = ("exec", pod["metadata"]["name"], "-c", "server", "--", "cat", "/proc/mounts")
    mounts = {line.split()[1]: line.split() for line in user.run_kubectl(*where).splitlines()}
    assert mounts["/mnt/models"][2] == "tmpfs"
    assert not {"/mnt/decryption", "/mnt/encrypted"} & mounts.keys()

    _, foreign = new_identity()
    user.edit(SEALED, {"model": user.push(seal(make_adder(6), foreign), "foreign")})
    failed = user.wait(
        SEALED,
        lambda one: is_current(one) and condition(one, "Ready")["reason"] == "DecryptionFailed",
        "the missing key explained",
    )
    assert condition_status(failed, "Available") == "True"
    assert "spec.model.decryption" in condition(failed, "Ready")["message"]
    assert user.ask(SEALED, 1) == 6


@pytest.fixture(scope="module")
def car(user: User, tmp_path_factory: pytest.TempPathFactory) -> Object:
    """A container image with a model where KServe's have it; its `spec.model`."""
    context = tmp_path_factory.mktemp("car")
    (context / "model.onnx").write_bytes(make_adder(7))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=444 model.onnx /models/model.onnx\n")
    build = ImageBuild("tests/car:1", context / "Dockerfile", context=context)
    return {"storageUri": f"oci://{build_and_push(user.cluster, build)}"}


def test_model_in_a_container_image_is_fetched(user: User, car: Object) -> None:
    user.apply(CAR, model={**car, "sha256": hashlib.sha256(make_adder(7)).hexdigest()})
    user.wait_ready(CAR)
    assert user.ask(CAR, 1) == 8


def test_model_in_a_container_image_is_mounted(user: User, car: Object) -> None:
    node = user.cluster.api.get(f"/api/v1/nodes/{NODE_NAME}")
    runtime = node["status"]["nodeInfo"]["containerRuntimeVersion"]
    version = re.fullmatch(r"containerd://(\d+)\.(\d+)\..*", runtime)
    if version is None or (int(version[1]), int(version[2])) < MOUNTING_CONTAINERD:
        pytest.skip(f"{runtime} mounts no images")
    user.apply("mounted", model={**car, "imageVolume": {}})
    user.wait_ready("mounted")
    assert user.ask("mounted", 1) == 8
    (pod,) = user.pods("mounted").values()
    assert "initContainers" not in pod["spec"]
