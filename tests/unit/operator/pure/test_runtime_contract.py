"""What the operator writes into pods is what the runtime's own command lines and ports understand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.operator.pure.specs import SHA, SPECS
from tests.unit.operator.pure.test_pod_template import build, fetcher, server

from modelservice_operator.resources import ports
from modelservice_operator.resources.model_source import CREDENTIALS_DIRECTORY, MODEL_DIRECTORY
from modelservice_runtime.fetch.main import build_parser
from modelservice_runtime.settings import ServeSettings, parse_serve_arguments


def parse_server(**spec: Any) -> ServeSettings:
    command, *arguments = server(build(**spec))["args"]
    assert command == "serve"
    return parse_serve_arguments(arguments)


@pytest.mark.parametrize("name", SPECS)
def test_server_arguments_any_spec_are_understood(name: str) -> None:
    settings = parse_server(**SPECS[name])

    [source] = settings.models
    assert source.name == "spam"
    assert Path(source.path).is_relative_to(MODEL_DIRECTORY)
    assert (settings.http_port, settings.metrics_port) == (ports.HTTP, ports.METRICS)
    assert settings.host == "0.0.0.0"


def test_server_arguments_carry_every_option() -> None:
    settings = parse_server(**SPECS["full"])

    assert settings.model_version == "3"
    assert settings.execution_providers == ("CPU",)
    assert settings.intra_op_threads == 3
    assert (settings.max_batch_size, settings.max_batch_delay_seconds) == (32, 0.005)
    assert (settings.drain_delay_seconds, settings.drain_timeout_seconds) == (2, 6)


@pytest.mark.parametrize("name", [name for name in SPECS if name != "config-map"])
def test_fetcher_arguments_any_spec_are_understood(name: str) -> None:
    spec = SPECS[name]
    command, *arguments = fetcher(build(**spec))["args"]
    parsed = build_parser().parse_args(arguments)

    assert command == "fetch"
    assert str(parsed.destination) == MODEL_DIRECTORY
    assert parsed.verify_only == (name == "claim")
    assert parsed.sha256 == spec["model"].get("sha256")


def test_fetcher_arguments_carry_every_option() -> None:
    parsed = build_parser().parse_args(fetcher(build(**SPECS["full"]))["args"][1:])

    assert (parsed.uri, parsed.sha256) == ("s3://models/spam/3/model.onnx", SHA)
    assert parsed.max_bytes == 2684354560
    assert str(parsed.credentials_dir) == CREDENTIALS_DIRECTORY
