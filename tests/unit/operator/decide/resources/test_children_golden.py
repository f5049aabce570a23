"""The rendered children, as files to read and to review. MODELSERVICE_UPDATE_GOLDEN=1 writes them anew.

A golden that changes is a new pod builder: it concerns new revisions only, but it must be wanted. The names
of the files' revisions must never change for an unchanged spec: that would restart everything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.builders import NOW, make_model_service, make_observed, make_runtime
from tests.unit.operator.specs import EVALUATED, SPECS

from modelservice_operator.api import ModelServiceSpec
from modelservice_operator.decide.decide import decide
from modelservice_operator.facts.kinds import ROUTE_KINDS
from modelservice_operator.facts.observed import ClusterFacts

GOLDEN = Path(__file__).parent / "golden"
RUNTIME = make_runtime(
    default=True,
    gpuImage="registry.example/onnx-gpu:1",
    resources={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
)
OTHER_GPUS = make_runtime(
    "every-gpu", gpuImages={"amd.com": "registry.example/amd:1", "gpu.intel.com": "registry.example/intel:1"}
)
CLUSTER = ClusterFacts(kinds=frozenset({"ResourceClaimTemplate", *ROUTE_KINDS}))


def rendered(spec: dict[str, Any]) -> list[dict[str, Any]]:
    observed = make_observed(make_model_service(**spec), RUNTIME, OTHER_GPUS, cluster=CLUSTER)
    return list(decide(observed, NOW).desired)


@pytest.mark.parametrize("name", [*SPECS, *EVALUATED])
def test_decide_golden_spec_renders_golden_children(name: str) -> None:
    file = GOLDEN / f"{name}.yaml"
    children = rendered({**SPECS, **EVALUATED}[name])
    if os.environ.get("MODELSERVICE_UPDATE_GOLDEN"):
        file.write_text(yaml.dump_all(children, Dumper=_PlainDumper, sort_keys=False, width=110))

    assert children == list(yaml.safe_load_all(file.read_text()))


def test_pods_that_need_names_may_ask_for_them_also_on_openshift() -> None:
    """The pods of OpenShift's DNS listen on 5353, and a policy sees their port, not that of their Service."""
    children = [one for spec in (*SPECS.values(), *EVALUATED.values()) for one in rendered(spec)]
    policies = [one for one in children if one["kind"] == "NetworkPolicy"]
    explainers = [one for one in policies if one["metadata"]["name"].endswith("-explainer")]
    reaching = [
        one for one in policies if {"namespaceSelector": {}} in one["spec"]["egress"][-1].get("to", ())
    ]
    assert explainers
    assert reaching
    assert all("ports" not in one["spec"]["egress"][-1] for one in reaching)
    for one in explainers:
        asked = [(port["port"], port["protocol"]) for port in one["spec"]["egress"][0]["ports"]]
        assert "to" not in one["spec"]["egress"][0]
        assert set(asked) == {(number, protocol) for number in (53, 5353) for protocol in ("UDP", "TCP")}


def test_specs_use_every_field_of_a_revision() -> None:
    used = {field for spec in SPECS.values() for field in spec}

    expected = {field.alias for field in ModelServiceSpec.model_fields.values()}
    assert expected - used == {"rollout"}, "a new field needs a golden (rollout changes no child)"


class _PlainDumper(yaml.SafeDumper):
    """Without anchors: a reader sees every value where it is used."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
