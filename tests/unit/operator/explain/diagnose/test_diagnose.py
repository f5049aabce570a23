from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.operator.builders import SHA_A, SHA_B, make_pod, make_ready_pod

from modelservice_operator.explain.diagnose import Cause, LoadedModel, Situation, diagnose, loaded_models
from modelservice_operator.facts.nodes import Node
from modelservice_operator.facts.observed import DeploymentChild

REVISION = "bcdfghjklm"


def waiting(name: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


def failed(name: str, message: str = "", *, reason: str = "Error", code: int = 1) -> dict[str, Any]:
    ended = {"exitCode": code, "reason": reason, "message": message}
    return {
        "name": name,
        "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": ended},
    }


def running(name: str, **facts: Any) -> dict[str, Any]:
    return {"name": name, "state": {"running": {}}, **facts}


def explain(pod: dict[str, Any], *events: dict[str, Any], **situation: Any) -> Cause:
    cause = diagnose(REVISION, [pod], events, None, Situation(**situation))
    assert cause is not None
    return cause


def pod_with(*, fetch: Any = None, server: Any = None, **status: Any) -> dict[str, Any]:
    if fetch:
        status["initContainerStatuses"] = [fetch]
    if server:
        status["containerStatuses"] = [server]
    return make_pod(REVISION, **status)


def mount_event(message: str, pod: str = "pod-1", time: str = "2026-01-02T03:04:05Z") -> dict[str, Any]:
    return {
        "reason": "FailedMount",
        "message": message,
        "involvedObject": {"uid": f"uid-{pod}"},
        "lastTimestamp": time,
    }


def unschedulable(message: str) -> dict[str, Any]:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod_with(conditions=[scheduled])


FULL = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint(s)."


def homeless(**spec: Any) -> dict[str, Any]:
    pod = unschedulable(FULL)
    pod["spec"] = {
        "containers": [{"name": "server", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
        **spec,
    }
    return pod


def test_diagnose_pod_that_no_node_could_take_says_what_is_nearest() -> None:
    nodes = (Node(name="a"), Node(name="b", allocatable={"nvidia.com/gpu": "1"}))

    cause = explain(homeless(nodeSelector={"zone": "x"}), nodes=nodes)

    assert cause.reason == "Unschedulable"
    assert cause.failing
    assert cause.message == (
        "None of 2 nodes fits: 1 without nvidia.com/gpu, 1 without the label zone=x. "
        "Nearest: a spec.scheduling.nodeSelector without zone=x fits 1 node."
    )


def test_diagnose_pod_that_a_full_node_could_take_keeps_the_schedulers_sentence() -> None:
    nodes = (Node(name="a"), Node(name="b", allocatable={"nvidia.com/gpu": "1"}))

    cause = explain(homeless(), nodes=nodes)

    assert cause.message.startswith(FULL)
    assert cause.message.endswith("1 of 2 nodes would do, had they room.")


@pytest.mark.parametrize("nodes", [None, ()])
def test_diagnose_homeless_pod_without_nodes_says_what_the_scheduler_says(
    nodes: tuple[Node, ...] | None,
) -> None:
    assert explain(homeless(), nodes=nodes).message.startswith(FULL)
    assert "would do" not in explain(homeless(), nodes=nodes).message


def test_diagnose_homeless_pod_that_gets_a_node_of_an_autoscaler_only_waits() -> None:
    event = {"reason": "TriggeredScaleUp", "involvedObject": {"uid": "uid-pod-1"}}

    assert not explain(homeless(nodeSelector={"a": "b"}), event, nodes=(Node(name="a"),)).failing


def test_diagnose_claim_that_no_device_fulfils_names_the_field() -> None:
    cause = explain(unschedulable("0/1 nodes are available: 1 cannot allocate all claims. preemption: ..."))

    assert "spec.gpu: correct its claim" in cause.message


def test_diagnose_resource_that_a_driver_offers_is_no_nodes_own() -> None:
    pod = unschedulable("0/1 nodes are available: 1 cannot allocate all claims.")
    pod["spec"] = homeless()["spec"]

    cause = explain(pod, nodes=(Node(name="a"),))

    assert "without nvidia.com/gpu" not in cause.message
    assert "No free device does for spec.gpu" in cause.message


# Images

PULL_ERROR = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/onnx:1": not found'
)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", PULL_ERROR),
        ("ImagePullBackOff", f'Back-off pulling image "registry.example/onnx:1": ErrImagePull: {PULL_ERROR}'),
    ],
)
def test_diagnose_image_that_cannot_be_pulled_says_the_same_between_tries(reason: str, message: str) -> None:
    cause = explain(pod_with(fetch=waiting("fetch", reason, message)))

    assert cause == Cause(
        reason="ImagePullFailed",
        message=(
            "Image registry.example/onnx:1 cannot be pulled (failed to pull and unpack image "
            '"registry.example/onnx:1": not found): correct the image of the ModelRuntime; a private '
            "registry needs spec.imagePullSecrets."
        ),
    )


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("no match for platform in manifest: not found", "kubernetes.io/arch"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "kubernetes.io/arch"),
        (
            "unexpected status from HEAD request to https://registry.example/v2/onnx: 401 Unauthorized",
            "spec.imagePullSecrets",
        ),
        (
            "pull access denied, repository does not exist or may require authorization",
            "spec.imagePullSecrets",
        ),
        ("429 Too Many Requests - toomanyrequests: You have reached your pull rate limit", "mirror"),
        ("dial tcp: lookup registry.example on 10.0.0.10:53: no such host", "do not reach the registry"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "do not reach the registry"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "do not trust"),
        ("write /var/lib/containerd/x: no space left on device", "disk is full"),
    ],
)
def test_diagnose_image_that_cannot_be_pulled_has_a_remedy_for_its_cause(said: str, remedy: str) -> None:
    cause = explain(pod_with(fetch=waiting("fetch", "ErrImagePull", f"failed to pull image: {said}")))

    assert cause.reason == "ImagePullFailed"
    assert said in cause.message
    assert remedy in cause.message


def test_diagnose_image_of_a_recorded_runtime_is_not_corrected_there() -> None:
    pod = pod_with(fetch=waiting("fetch", "ErrImagePull", PULL_ERROR))

    first = explain(pod, runtime="onnx").message
    assert "correct the image of ModelRuntime 'onnx'" in first
    assert "spec.runtime.ref" not in first

    later = explain(pod, runtime="onnx", keeps_runtime=True).message
    assert "correct the image" not in later
    assert "another image in spec.runtime.ref" in later


@pytest.mark.parametrize("container", ["fetch", "server"])
@pytest.mark.parametrize(
    "status",
    [
        failed("", "exec /usr/local/bin/python: exec format error", code=255),
        failed("", "failed to create shim task: exec: exec format error", reason="StartError", code=128),
        waiting("", "CreateContainerError", 'exec: "/usr/bin/python": exec format error'),
    ],
)
def test_diagnose_program_of_another_architecture_names_image_and_node(
    container: str, status: dict[str, Any]
) -> None:
    pod = pod_with(**{container: {**status, "name": container}})
    pod["spec"]["nodeName"] = "arm-1"

    cause = explain(pod)

    assert cause.reason == "WrongArchitecture"
    for part in ("registry.example/onnx:1", "arm-1", "kubernetes.io/arch: amd64"):
        assert part in cause.message


def test_diagnose_image_that_is_no_runtime_cannot_start() -> None:
    said = 'exec: "serve": executable file not found in $PATH'
    cause = explain(pod_with(server=failed("server", said, reason="StartError", code=128)))

    assert cause.reason == "StartFailed"
    assert "no runtime of models: correct the image" in cause.message
    assert said in cause.message


def test_diagnose_image_of_root_says_what_the_image_needs() -> None:
    said = "container has runAsNonRoot and image will run as root"
    cause = explain(pod_with(server=waiting("server", "CreateContainerConfigError", said)))

    assert cause.message.startswith("The image must name a user by a number that is not 0")


# Scheduling


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        # The node that has all the labels lacks only room.
        (
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node selector.",
            "Lower spec.resources.requests",
        ),
        (
            "0/3 nodes are available: 1 node(s) didn't match Pod's node selector, 2 untolerated taint(s).",
            "Correct nodeSelector",
        ),
        (
            "0/2 nodes are available: 1 Insufficient memory, 1 node(s) had volume node affinity conflict.",
            "another zone",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}.",
            "spec.scheduling.tolerations",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.",
            "not well",
        ),
        ("0/1 nodes are available: 1 node(s) were unschedulable.", "uncordon"),
        ("0/1 nodes are available: 1 Too many pods.", "add nodes"),
        ("0/1 nodes are available: 1 node(s) exceed max volume count.", "as many volumes"),
        ("no nodes available to schedule pods", "no nodes"),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "StorageClass",
        ),
    ],
)
def test_diagnose_unschedulable_remedy_is_for_the_node_that_lacks_least(message: str, remedy: str) -> None:
    cause = explain(unschedulable(message))

    assert cause.reason == "Unschedulable"
    assert remedy in cause.message


ROOM = "spec.rollout.maxSurge: 0 and maxUnavailable: 1"
RWOP = (
    "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and "
    "ReadWriteOncePod access mode."
)
MULTI_ATTACH = (
    'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node and can\'t be '
    "attached to another"
)


@pytest.mark.parametrize(
    "pod",
    [
        unschedulable("0/1 nodes are available: 1 Insufficient cpu."),
        unschedulable("0/1 nodes are available: 1 Insufficient memory."),
        unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
        unschedulable("0/1 nodes are available: 1 Too many pods."),
        unschedulable(RWOP),
    ],
)
def test_diagnose_room_that_old_pods_hold_is_told_only_where_they_do(pod: dict[str, Any]) -> None:
    assert ROOM in explain(pod, surge="Waits").message
    gives_way = explain(pod, surge="GivesWay")
    assert "one of them goes first" in gives_way.message
    assert not gives_way.failing
    assert "allowDowntime: true" in explain(pod, surge="NeedsLeave").message
    assert "old revision" not in explain(pod, surge="Tried").message
    assert "old revision" not in explain(pod).message


@pytest.mark.parametrize(
    ("pod", "events", "mode"),
    [
        (unschedulable(RWOP), (), "ReadWriteOncePod"),
        (
            pod_with(server=waiting("server", "ContainerCreating")),
            (mount_event(MULTI_ATTACH) | {"reason": "FailedAttachVolume"},),
            "ReadWriteOnce",
        ),
    ],
)
def test_diagnose_claim_that_another_pod_has_is_in_use(
    pod: dict[str, Any], events: tuple[dict[str, Any], ...], mode: str
) -> None:
    first = explain(pod, *events)
    assert first.reason == "ClaimInUse"
    assert f"{mode}" in first.message
    assert "ReadOnlyMany or ReadWriteMany" in first.message
    assert ROOM in explain(pod, *events, surge="Waits").message


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "enough free nvidia.com/gpu: add one"),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/mig-1g.5gb.", "free nvidia.com/mig-1g.5gb:"),
        ("0/1 nodes are available: 1 Insufficient cpu.", "spec.resources.requests"),
        ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", "spec.gpu.product"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s).", "spec.scheduling.tolerations"),
        (
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints.",
            "spec.scheduling.topologySpread",
        ),
    ],
)
def test_diagnose_unschedulable_gives_the_schedulers_sentence_and_a_remedy(message: str, remedy: str) -> None:
    cause = explain(unschedulable(f"{message} preemption: 0/3 nodes are available: 3 No preemption victims."))

    assert cause.reason == "Unschedulable"
    assert cause.message.startswith(message)
    assert "preemption" not in cause.message
    assert remedy in cause.message


def test_diagnose_missing_claim_is_named() -> None:
    cause = explain(unschedulable('0/1 nodes are available: persistentvolumeclaim "models" not found.'))

    assert cause.reason == "ClaimNotFound"
    assert "PersistentVolumeClaim 'models'" in cause.message


# Mounts


@pytest.mark.parametrize(
    ("message", "reason", "part"),
    [
        (
            'MountVolume.SetUp failed for volume "credentials" : secret "s3" not found',
            "SecretNotFound",
            "'s3'",
        ),
        (
            'MountVolume.SetUp failed for volume "model" : configmap "tiny" not found',
            "ConfigMapNotFound",
            "'tiny'",
        ),
        (
            'MountVolume.SetUp failed for volume "model" : references non-existent config key: m.onnx',
            "ConfigMapKeyNotFound",
            "m.onnx",
        ),
        (
            'MountVolume.SetUp failed for volume "access" : references non-existent secret key: api-keys',
            "SecretKeyNotFound",
            "The Secret that spec.auth.apiKeys.secretName names has no key 'api-keys': add it.",
        ),
        (
            'MountVolume.SetUp failed for volume "access" : references non-existent secret key: ca.crt',
            "SecretKeyNotFound",
            "spec.tls.clientCASecretName",
        ),
        (
            'MountVolume.SetUp failed for volume "access" : references non-existent config key: jwks.json',
            "ConfigMapKeyNotFound",
            "spec.auth.jwt.jwksConfigMapName names has no key 'jwks.json'",
        ),
        ("MountVolume.SetUp failed: timed out", "FailedMount", "timed out"),
    ],
)
def test_diagnose_failed_mount_names_what_is_missing(message: str, reason: str, part: str) -> None:
    pod = pod_with(fetch=waiting("fetch", "PodInitializing"))

    cause = explain(pod, mount_event(message))

    assert cause.reason == reason
    assert part in cause.message


def test_diagnose_mount_event_of_a_pod_that_started_is_history() -> None:
    pod = pod_with(fetch=running("fetch"))

    assert explain(pod, mount_event('secret "s3" not found')).reason == "Fetching"


def test_diagnose_mount_event_of_another_pod_does_not_count() -> None:
    pod = pod_with(fetch=waiting("fetch", "PodInitializing"))

    assert explain(pod, mount_event('secret "s3" not found', pod="other")).reason == "Starting"


def test_diagnose_latest_mount_event_counts() -> None:
    events = [
        mount_event('secret "new" not found', time="2026-01-02T03:05:00Z"),
        mount_event('secret "old" not found', time="2026-01-02T03:04:00Z"),
    ]

    assert "'new'" in explain(pod_with(fetch=waiting("fetch", "PodInitializing")), *events).message


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "MountVolume.SetUp failed: driver name x not found in the list of registered CSI drivers",
            "driver",
        ),
        ("mount.nfs: access denied by server while mounting 10.0.0.1:/models", "refuses this node"),
        ("Unable to attach or mount volumes: timed out waiting for the condition", "does not answer"),
        ('failed to setup network for sandbox: plugin type="calico" failed', "network plug-in"),
    ],
)
def test_diagnose_what_a_node_cannot_set_up_has_a_remedy(said: str, remedy: str) -> None:
    cause = explain(pod_with(server=waiting("server", "ContainerCreating")), mount_event(said))

    assert cause.message.startswith(said)
    assert remedy in cause.message


# Fetching


@pytest.mark.parametrize("policy", [True, False])
@pytest.mark.parametrize(
    "said",
    ["gave up after 4 attempts: cannot connect to models.example: refused", "x was silent for too long"],
)
def test_diagnose_fetch_that_reached_nobody_names_what_may_be_in_the_way(said: str, policy: bool) -> None:
    report = json.dumps({"reason": "DownloadFailed", "message": said})

    cause = explain(pod_with(fetch=failed("fetch", report)), service="spam", has_policy=policy)

    assert cause.message.startswith(said)
    assert "HTTPS_PROXY" in cause.message
    assert ("NetworkPolicy 'spam' (spec.networkPolicy)" in cause.message) is policy


@pytest.mark.parametrize(
    ("reason", "said"),
    [("DownloadFailed", "HTTP 503; check the store"), ("ModelNotFound", "cannot connect the dots")],
)
def test_diagnose_fetch_that_was_answered_blames_no_policy(reason: str, said: str) -> None:
    report = json.dumps({"reason": reason, "message": said})

    assert explain(pod_with(fetch=failed("fetch", report)), has_policy=True).message == said


def test_diagnose_fetchers_report_is_passed_on() -> None:
    report = json.dumps({"reason": "DigestMismatch", "message": "expected sha256 a, got b: correct it"})

    cause = explain(pod_with(fetch=failed("fetch", report)))

    assert cause == Cause(reason="DigestMismatch", message="expected sha256 a, got b: correct it")


def test_diagnose_fetch_tried_again_still_counts_as_failed() -> None:
    report = json.dumps({"reason": "ModelNotFound", "message": "no such model"})
    container = {**failed("fetch", report), "state": {"running": {}}}

    assert explain(pod_with(fetch=container)).reason == "ModelNotFound"


def test_diagnose_fetch_that_succeeded_after_a_failure_is_no_cause() -> None:
    container = {**failed("fetch", "{}"), "state": {"terminated": {"exitCode": 0}}}

    assert explain(pod_with(fetch=container, server=running("server"))).reason == "Loading"


def test_diagnose_fetch_without_a_report_gives_the_last_log_line() -> None:
    cause = explain(pod_with(fetch=failed("fetch", "Traceback\nKeyError: 'x'")))

    assert cause.reason == "FetchFailed"
    assert "KeyError: 'x'" in cause.message


# The server


def test_diagnose_load_failure_becomes_the_reason() -> None:
    log = '{"message":"starting"}\nModelLoadFailed: opset 99 is not supported: export with opset 21'

    cause = explain(pod_with(server=failed("server", log)))

    assert cause == Cause(reason="ModelLoadFailed", message="opset 99 is not supported: export with opset 21")


def with_samples(pod: dict[str, Any], file: str) -> dict[str, Any]:
    pod["spec"]["containers"][0]["args"] = ["serve", "--model", "spam=/mnt/models/m.onnx", "--samples", file]
    return pod


def test_diagnose_what_the_server_says_of_a_flag_names_the_field() -> None:
    log = "InvalidSettings: model 'spam' (version '1'): --samples: cannot read '/mnt/a.json' (absent)"

    cause = explain(with_samples(pod_with(server=failed("server", log)), "a.json"))

    assert cause == Cause(
        reason="InvalidSettings",
        message="model 'spam' (version '1'): spec.model.samples.file: cannot read '/mnt/a.json' (absent)",
    )


def test_diagnose_field_that_an_older_image_does_not_know() -> None:
    log = "InvalidSettings: unrecognized arguments: --samples a.json; see 'serve --help'"

    cause = explain(with_samples(pod_with(server=failed("server", log)), "a.json"), runtime="onnx")

    assert cause.reason == "InvalidSettings"
    assert "registry.example/onnx:1 does not know spec.model.samples.file" in cause.message
    assert "correct the image of ModelRuntime 'onnx'" in cause.message


def test_diagnose_argument_that_the_fetcher_does_not_know() -> None:
    log = "usage: fetch [-h]\nfetch: error: unrecognized arguments: --cache-max-bytes 7"

    cause = explain(pod_with(fetch=failed("fetch", log, code=2)))

    assert "does not know spec.model.cache.maxSize" in cause.message


@pytest.mark.parametrize(
    ("key", "field"), [("a.json", "spec.model.samples.file"), ("m.onnx", "spec.model.storageUri")]
)
def test_diagnose_missing_key_of_a_config_map_names_the_field_that_asks_for_it(key: str, field: str) -> None:
    pod = with_samples(pod_with(fetch=waiting("fetch", "PodInitializing")), "a.json")
    # The kubelet's sentence (k8s.io/kubernetes, pkg/volume/configmap).
    said = (
        f'MountVolume.SetUp failed for volume "model" : configmap references non-existent config key: {key}'
    )

    cause = explain(pod, mount_event(said))

    assert cause.reason == "ConfigMapKeyNotFound"
    assert f"correct {field} or add it" in cause.message


@pytest.mark.parametrize("container", ["server", "fetch"])
def test_diagnose_out_of_memory_says_what_to_raise(container: str) -> None:
    status = failed(container, reason="OOMKilled", code=137)
    cause = explain(pod_with(server=status) if container == "server" else pod_with(fetch=status))

    assert cause.reason == "OutOfMemory"
    assert "spec.resources" in cause.message


def test_diagnose_out_of_memory_names_the_limit() -> None:
    assert "64Mi" in explain(pod_with(server=failed("server", reason="OOMKilled", code=137))).message


def test_diagnose_crash_gives_exit_code_and_last_line() -> None:
    log = 'first\n{"level": "error", "message": "segmentation fault in libfoo"}\n'
    cause = explain(pod_with(server=failed("server", log, code=139)))

    assert cause.reason == "CrashLoop"
    assert "139 (SIGSEGV)" in cause.message
    assert cause.message.endswith("segmentation fault in libfoo")


def test_diagnose_missing_key_of_a_secret_is_named() -> None:
    # The kubelet's sentence (k8s.io/kubernetes, pkg/kubelet/kubelet_pods.go).
    message = "couldn't find key OTEL_EXPORTER_OTLP_HEADERS in Secret mail/telemetry"
    cause = explain(pod_with(server=waiting("server", "CreateContainerConfigError", message)))

    assert cause.reason == "SecretNotFound"
    assert "Secret 'telemetry' has no key 'OTEL_EXPORTER_OTLP_HEADERS'" in cause.message


def test_diagnose_container_that_cannot_be_created() -> None:
    cause = explain(pod_with(server=waiting("server", "CreateContainerError", "no such device")))

    assert cause == Cause(reason="CreateContainerError", message="no such device")


EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume exceeds"}


def made(pod: dict[str, Any], name: str, second: int) -> dict[str, Any]:
    """The pod under another name, made at this second."""
    metadata = {
        **pod["metadata"],
        "name": name,
        "uid": f"uid-{name}",
        "creationTimestamp": f"2026-01-02T03:05:{second:02}Z",
    }
    return {**pod, "metadata": metadata}


def test_diagnose_pod_that_was_replaced_is_no_failure_but_history() -> None:
    evicted = made(pod_with(**EVICTED), "a", 1)
    starting = made(pod_with(fetch=running("fetch")), "b", 2)

    assert diagnose(REVISION, [evicted, starting], (), None) == Cause(
        reason="Fetching",
        message="The model is being fetched. The pod before it failed (Evicted): "
        "Usage of EmptyDir volume exceeds",
        failing=False,
    )
    assert diagnose(REVISION, [evicted], (), None) is None


def test_diagnose_pod_that_was_replaced_does_not_hide_the_next_problem() -> None:
    evicted = made(pod_with(**EVICTED), "a", 1)
    pending = made(unschedulable("0/1 nodes are available: 1 node(s) were unschedulable."), "b", 2)

    cause = diagnose(REVISION, [evicted, pending], (), None)

    assert cause is not None
    assert cause.reason == "Unschedulable"
    assert "Evicted" not in cause.message


def test_diagnose_pod_that_was_replaced_by_one_that_became_ready_is_forgotten() -> None:
    evicted = made(pod_with(**EVICTED), "a", 1)
    ready = made(make_ready_pod(REVISION), "b", 2)
    starting = made(pod_with(), "c", 3)

    cause = diagnose(REVISION, [starting, ready, evicted], (), None)

    assert cause == Cause(reason="Starting", message="A pod is being started.", failing=False)


def test_loaded_models_forgets_a_pod_that_was_replaced() -> None:
    failed_later = made(make_ready_pod(REVISION, sha256=SHA_A), "a", 1)
    failed_later["status"] |= EVICTED

    models = loaded_models([failed_later, made(make_ready_pod(REVISION, sha256=SHA_B), "b", 2)], REVISION, {})

    assert models == (LoadedModel(sha256=SHA_B, size_bytes=7),)


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (pod_with(), "Starting"),
        (pod_with(fetch=running("fetch")), "Fetching"),
        (pod_with(server=running("server")), "Loading"),
    ],
)
def test_diagnose_steps_that_take_their_time_are_no_failures(pod: dict[str, Any], reason: str) -> None:
    cause = explain(pod)

    assert (cause.reason, cause.failing) == (reason, False)


# Several pods, and none


def test_diagnose_failure_of_one_pod_comes_before_the_progress_of_another() -> None:
    starting = make_pod(REVISION, "a")
    broken = make_pod(REVISION, "b", containerStatuses=[failed("server", "ModelLoadFailed: bad")])

    cause = diagnose(REVISION, [starting, broken], [], None)

    assert cause is not None
    assert cause.reason == "ModelLoadFailed"


def test_diagnose_ready_deleted_and_foreign_pods_do_not_count() -> None:
    going = make_pod(REVISION, "going")
    going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"

    assert diagnose(REVISION, [make_ready_pod(REVISION), going, make_pod("other")], [], None) is None


def deployment_refused(message: str) -> DeploymentChild:
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    return DeploymentChild(
        kind="Deployment", namespace="mail", name="spam-x", uid="u", resource_version="1", owner_uid="o",
        owner_name="spam", deleting=False, created_at="", labels={}, fingerprint="", revision=REVISION,
        generation=1, observed_generation=1, spec_replicas=1, replicas=0, ready_replicas=0,
        available_replicas=0, conditions=(refused,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: team, requested: cpu=2', "QuotaExceeded"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "PodSecurityViolation"),
        ('pods "x" is forbidden: no PriorityClass with name high was found', "PriorityClassNotFound"),
        ('error looking up service account mail/y: serviceaccount "y" not found', "ServiceAccountNotFound"),
        ('Pod "x" is invalid: requests: must be less than or equal to memory limit of 8Mi', "LimitRange"),
        ("maximum memory usage per Container is 8Mi, but limit is 16Mi", "LimitRange"),
        ("denied by webhook", "PodsRefused"),
        ('Internal error occurred: failed calling webhook "a.b": connection refused', "WebhookFailed"),
        (
            'pods "x" is forbidden: unable to validate against any security context constraint',
            "PodSecurityViolation",
        ),
    ],
)
def test_diagnose_pods_that_cannot_be_created(message: str, reason: str) -> None:
    cause = diagnose(REVISION, [], [], deployment_refused(message))

    assert cause is not None
    assert cause.reason == reason
    assert message in cause.message


@pytest.mark.parametrize(
    ("requested", "remedy"),
    [
        ("pods=1", "Lower the number of replicas, or"),
        ("count/pods=1,pods=1", "Lower the number of replicas, or"),
        ("pods=1,requests.cpu=2", "Lower spec.resources, or"),
        ("limits.memory=1Gi", "Lower spec.resources, or"),
    ],
)
def test_diagnose_quota_names_what_it_bounds(requested: str, remedy: str) -> None:
    message = f'pods "x" is forbidden: exceeded quota: q, requested: {requested}, used: a=1, limited: a=1'
    cause = diagnose(REVISION, [], [], deployment_refused(message))

    assert cause is not None
    assert remedy in cause.message


# Models


def test_loaded_models_pods_that_agree_one() -> None:
    pods = [make_ready_pod(REVISION, "a", SHA_A), make_ready_pod(REVISION, "b", SHA_A)]

    assert loaded_models(pods, REVISION, {}) == (LoadedModel(sha256=SHA_A, size_bytes=7),)


def test_loaded_models_pods_that_differ_all() -> None:
    pods = [make_ready_pod(REVISION, "a", SHA_B), make_ready_pod(REVISION, "b", SHA_A)]

    assert [one.sha256 for one in loaded_models(pods, REVISION, {})] == [SHA_B, SHA_A]


def test_loaded_models_failed_fetch_and_other_revisions_none() -> None:
    report = json.dumps({"reason": "DigestMismatch", "sha256": SHA_A})

    pods = [
        pod_with(fetch=failed("fetch", report)),
        make_ready_pod("other", "b", SHA_B),
        make_ready_pod(REVISION),
    ]
    assert loaded_models(pods, REVISION, {}) == ()
