"""The manifests of examples/06-gpu are good ones, and a runtime serves each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.builders import NOW, make_observed, make_runtime

from modelservice_operator.api import parse_model_runtime, parse_model_service
from modelservice_operator.decide.decide import decide
from modelservice_operator.facts.observed import ClusterFacts

EXAMPLES = Path(__file__).parents[4] / "examples" / "06-gpu"
MANIFESTS = sorted(path for path in EXAMPLES.glob("*.yaml") if path.name != "runtime.yaml")


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_gpu_example_becomes_pods(path: Path) -> None:
    (service,) = [one for one in documents(path) if one["kind"] == "ModelService"]
    (runtime,) = documents(EXAMPLES / "runtime.yaml")
    parse_model_service(service, strict=True)
    parse_model_runtime(runtime)
    service["metadata"] |= {"namespace": "mail", "uid": "u", "generation": 1, "resourceVersion": "1"}
    default = make_runtime(default=True)  # as the chart installs it: for the CPU alone
    cluster = ClusterFacts(kinds=frozenset({"ResourceClaimTemplate"}))

    decision = decide(make_observed(service, default, runtime, cluster=cluster), NOW)

    assert decision.runtime_problem is None
    assert "Deployment" in [child["kind"] for child in decision.desired]


def test_gpu_examples_are_all_in_the_readme() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in EXAMPLES.glob("*.yaml") if f"]({path.name})" not in text] == []
