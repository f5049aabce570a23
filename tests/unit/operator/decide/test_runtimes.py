from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.builders import make_runtime

from modelservice_operator.api import parse_model_runtime
from modelservice_operator.decide.revision import RecordedRuntime, record_runtime
from modelservice_operator.decide.runtimes import RuntimeProblem, RuntimeRequest, resolve_runtime


def resolve(
    *runtimes: dict[str, Any],
    ref: str | None = None,
    gpu: bool = False,
    domain: str | None = None,
    stable: RecordedRuntime | None = None,
    target: RecordedRuntime | None = None,
) -> RecordedRuntime | RuntimeProblem:
    request = RuntimeRequest(ref=ref, domain=domain or ("nvidia.com" if gpu else None))
    return resolve_runtime(request, runtimes, stable=stable, target=target)


def recorded(image: str, *, requested: str | None = None, name: str = "onnx") -> RecordedRuntime:
    return RecordedRuntime(requested=requested, name=name, image=image)


def problem(*runtimes: dict[str, Any], **request: Any) -> RuntimeProblem:
    found = resolve(*runtimes, **request)
    assert isinstance(found, RuntimeProblem)
    return found


def test_resolve_runtime_default_is_the_annotated_one() -> None:
    found = resolve(make_runtime("a"), make_runtime("b", default=True))

    assert found == recorded("registry.example/b:1", name="b")


def test_resolve_runtime_by_name() -> None:
    found = resolve(make_runtime("a"), make_runtime("b", default=True), ref="a")

    assert found == recorded("registry.example/a:1", requested="a", name="a")


@pytest.mark.parametrize("runtimes", [(), (make_runtime(image="changed:2", default=True),)])
def test_resolve_runtime_stable_with_the_same_ref_keeps_its_own(runtimes: Any) -> None:
    assert resolve(*runtimes, stable=recorded("old:1")) == recorded("old:1")


def test_resolve_runtime_stable_with_another_ref_does_not_count() -> None:
    found = resolve(make_runtime("b"), ref="b", stable=recorded("old:1"))

    assert found == recorded("registry.example/b:1", requested="b", name="b")


def test_resolve_runtime_deleted_while_rolled_out_keeps_the_targets() -> None:
    target = recorded("b:1", requested="b", name="b")

    assert resolve(ref="b", stable=recorded("old:1"), target=target) == target


def test_resolve_runtime_changed_before_the_first_rollout_is_complete_is_taken() -> None:
    found = resolve(make_runtime(image="mended:2", default=True), target=recorded("wrong:1"))

    assert found == recorded("mended:2")


def test_resolve_runtime_missing_names_what_exists() -> None:
    found = problem(make_runtime("a"), make_runtime("b"), ref="x")

    assert found.reason == "RuntimeNotFound"
    assert "'x'" in found.message
    assert "a, b" in found.message
    assert "spec.runtime.ref" in found.message


def test_resolve_runtime_no_default_says_how_to_make_one() -> None:
    found = problem(make_runtime("a"))

    assert found.reason == "RuntimeNotFound"
    assert "modelservice.dev/is-default-runtime" in found.message


def test_resolve_runtime_two_defaults_chooses_none() -> None:
    found = problem(make_runtime("a", default=True), make_runtime("b", default=True))

    assert found.reason == "RuntimeAmbiguous"
    assert "a, b" in found.message


def test_resolve_runtime_invalid_object_says_what_is_wrong() -> None:
    found = problem(make_runtime(default=True, image=""))

    assert found.reason == "RuntimeInvalid"
    assert "spec.image" in found.message


def test_resolve_runtime_gpu_without_gpu_image_is_refused() -> None:
    found = problem(make_runtime(default=True), gpu=True)

    assert found.reason == "GpuImageMissing"
    assert "ModelRuntime 'onnx' has no spec.gpuImage: set it" in found.message
    assert "the chart's value defaultRuntime.gpuImage for" in found.message


def test_resolve_runtime_recorded_one_without_gpu_image_is_not_said_to_be_mended() -> None:
    now = make_runtime(default=True, gpuImage="gpu:1")

    found = problem(now, gpu=True, stable=recorded("old:1"))

    assert "set it" not in found.message
    assert "as a revision recorded it: name a ModelRuntime that has one in spec.runtime.ref" in found.message


def test_resolve_runtime_gpu_of_another_vendor_needs_an_image_of_its_own() -> None:
    both = {"gpuImage": "gpu:1", "gpuImages": {"amd.com": "amd:1"}}

    found = problem(make_runtime(default=True, **both), domain="gpu.intel.com")
    taken = resolve(make_runtime(default=True, **both), domain="amd.com")

    assert found.reason == "GpuImageMissing"
    assert (
        "a GPU of gpu.intel.com, but ModelRuntime 'onnx' has no spec.gpuImages[gpu.intel.com]"
        in found.message
    )
    assert "the chart's value defaultRuntime.gpuImages for" in found.message
    assert isinstance(taken, RecordedRuntime)
    assert [taken.image_for(domain) for domain in (None, "nvidia.com", "amd.com")] == [
        "registry.example/onnx:1",
        "gpu:1",
        "amd:1",
    ]
    # What was recorded before there were images for each vendor.
    assert taken.image_for("gpu.intel.com") == "gpu:1"


def test_record_runtime_keeps_images_and_defaults() -> None:
    runtime = make_runtime(
        gpuImage="gpu:1",
        intraOpThreads=2,
        executionProviders=["CUDA", "CPU"],
        resources={"limits": {"memory": "1024Mi"}},
    )

    found = record_runtime("onnx", parse_model_runtime(runtime))

    assert (found.requested, found.gpu_image, found.intra_op_threads) == ("onnx", "gpu:1", 2)
    assert found.execution_providers == ("CUDA", "CPU")
    assert found.resources.limits == {"memory": "1Gi"}


@pytest.mark.parametrize("ref", ["other", None])
def test_resolve_runtime_of_an_installation_that_reads_no_others_says_so(ref: str | None) -> None:
    installed = make_runtime("onnx")
    installed["metadata"]["annotations"] = {"modelservice.dev/installed-runtime": "true"}
    found = problem(installed, ref=ref)

    assert found.reason == "RuntimeNotFound"
    assert "of this operator's installation (onnx)" in found.message
    assert "operator.runtimes" in found.message
    assert "the cluster" not in found.message
