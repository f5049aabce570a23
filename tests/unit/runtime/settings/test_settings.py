from pathlib import Path

import pytest

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.machine.cpu import CPUS_VARIABLE, available_cpus
from modelservice_runtime.machine.memory.cgroup import find_control_groups
from modelservice_runtime.settings.batching import ModelSample
from modelservice_runtime.settings.models import ModelSource, VersionLabel, VersionPolicy
from modelservice_runtime.settings.serve import parse_serve_arguments


def test_parse_of_the_operators_arguments() -> None:
    settings = parse_serve_arguments(
        [
            *("--model", "spam=/mnt/models/model.onnx", "--model-version", "3", "--host", "0.0.0.0"),
            *("--http-port", "8080", "--metrics-port", "8082", "--grpc-port", "9000"),
            *("--intra-op-threads", "4"),
            *("--execution-provider", "CUDA", "--execution-provider", "CPU", "--max-batch-size", "32"),
            *("--max-batch-delay-milliseconds", "5", "--drain-delay-seconds", "10"),
            *("--drain-timeout-seconds", "45"),
            *("--rows-are-independent", "--samples", "a.json", "--samples", "spam=x:1x2"),
        ]
    )
    assert settings.rows_are_independent
    assert settings.samples == (ModelSample("a.json"), ModelSample("x:1x2", "spam"))
    assert settings.models == (ModelSource("spam", Path("/mnt/models/model.onnx")),)
    assert settings.model_version == "3"
    assert (settings.http_port, settings.metrics_port, settings.grpc_port) == (8080, 8082, 9000)
    assert settings.execution_providers == ("CUDA", "CPU")
    assert (settings.intra_op_threads, settings.max_batch_size) == (4, 32)
    assert settings.max_batch_delay_seconds == 0.005
    assert (settings.drain_delay_seconds, settings.drain_timeout_seconds) == (10, 45)


def test_parse_of_version_policy_and_labels() -> None:
    settings = parse_serve_arguments(
        ["--model", "m=a", "--model-version-policy", "all", "--version-label", "m:stable=3"]
    )
    assert settings.version_policy is VersionPolicy.ALL
    assert settings.version_labels == (VersionLabel("m", "stable", "3"),)


def test_parse_of_defaults() -> None:
    settings = parse_serve_arguments(["--model", "m=a=b.onnx"])
    assert settings.models[0].path == Path("a=b.onnx")
    assert settings.model_version == "1"
    assert (settings.version_policy, settings.version_labels) == (VersionPolicy.LATEST, ())
    assert settings.execution_providers == ("CPU",)
    assert (settings.max_batch_size, settings.rows_are_independent, settings.samples) == (1, False, ())
    assert settings.intra_op_threads == available_cpus() >= 1


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ([], 1800),
        (["--model-trial-seconds", "2.5"], 2.5),
        (["--model-trial-seconds", "off"], None),
        (["--execution-provider", "CUDA"], 1800),
        (["--execution-provider", "TensorRT", "--execution-provider", "CPU"], None),
        (["--execution-provider", "TensorRT", "--tensorrt-engine-cache", "/engines"], 1800),
    ],
)
def test_trials_are_held_unless_they_are_off_or_would_build_engines_in_vain(
    arguments: list[str], seconds: float | None
) -> None:
    assert parse_serve_arguments(["--model", "m=a", *arguments]).model_trial_seconds == seconds


def test_grpc_port_may_be_off() -> None:
    assert parse_serve_arguments(["--model", "m=a", "--grpc-port", "off"]).grpc_port is None


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "no model to serve"),
        (["--model", "path.onnx"], "NAME=PATH"),
        (["--model", "=path.onnx"], "the name ''"),
        (["--model", "../x=path.onnx"], "the name '../x'"),
        (["--model", "m="], "NAME=PATH"),
        (["--model", "m=a", "--model", "m=b"], "'m' is used twice"),
        (["--model", "m=a", "--model-version", "1/2"], "--model-version '1/2'"),
        (["--model", "m=a", "--model-version-policy", "some"], "--model-version-policy"),
        (["--model", "m=a", "--version-label", "m:stable"], "NAME:LABEL=VERSION"),
        (["--model", "m=a", "--version-label", "m:a/b=1"], "NAME:LABEL=VERSION"),
        (["--model", "m=a", "--version-label", "q:stable=1"], "names a model that no --model gives"),
        (["--model", "m=a", "--version-label", "m:a=1", "--version-label", "m:a=2"], "given twice"),
        (["--model", "m=a", "--http-port", "65536"], "not a port"),
        (["--model", "m=a", "--http-port", "-1"], "a port from 0 to 65535"),
        (["--model", "m=a", "--grpc-port", "none"], "'off' or a port from 0 to 65535"),
        (["--model", "m=a", "--workers", "257"], "a whole number from 1 to 256"),
        (["--model", "m=a", "--intra-op-threads", "0"], "at least 1"),
        (["--model", "m=a", "--max-batch-size", "1.5"], "not a whole number"),
        (["--model", "m=a", "--drain-delay-seconds", "-1"], "a time of at least 0"),
        (["--model", "m=a", "--drain-delay-seconds", "nan"], "a time of at least 0"),
        (["--model", "m=a", "--max-batch", "3"], "unrecognized arguments"),
        (["--model", "m=a", "--access-log", "2"], "a share from 0 to 1"),
        (["--model", "m=a", "--access-log-payloads", "1Ki"], "add --access-log all or a share"),
        (["--model", "m=a", "--access-log", "all", "--access-log-payloads", "65Ki"], "more than 64Ki"),
        (["--model", "m=a", "--access-log", "all", "--access-log-mask", "$.a"], "add --access-log-payloads"),
        (
            ["--model", "m=a", "--access-log=all", "--access-log-payloads=1Ki", "--access-log-mask=a"],
            "'a' is not a JSONPath",
        ),
        (["--model", "m=a", "--model-trial-seconds", "0"], "a time of more than 0, or 'off'"),
        (["--model", "m=a", "--model-trial-seconds", "on"], "a time of more than 0, or 'off'"),
    ],
)
def test_parse_of_wrong_flags_names_them(arguments: list[str], part: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        parse_serve_arguments(arguments)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "cpus"),
    [("100000 100000", 1), ("1000 100000", 1), ("max 100000", None), ("", None), ("9 0", None)],
)
def test_available_cpus_follow_the_cgroup(tmp_path: Path, limit: str, cpus: int | None) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    unlimited = available_cpus(find_control_groups(tmp_path / "absent"), {})
    assert available_cpus(find_control_groups(tmp_path), {}) == (cpus or unlimited)


@pytest.mark.parametrize(("asked", "expected"), [("2", 2), ("0", 1), ("99", 8), ("", 8), ("many", 8)])
def test_available_cpus_follow_what_the_pod_asks_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert available_cpus(find_control_groups(tmp_path), {CPUS_VARIABLE: asked}) == expected
