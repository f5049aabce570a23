import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.manifests import merge_patch, model_service_cases

from modelservice_operator.api import parse_model_service, to_canonical
from modelservice_operator.facts.text.quantity import parse_quantity

GOLDEN = Path(__file__).parents[3] / "data" / "api" / "canonical.json"
GOOD = {case.name: case.manifest for case in model_service_cases() if not case.refused}


def canonical(name: str = "minimal", **changes: Any) -> dict[str, Any]:
    manifest = merge_patch(GOOD[name], {"spec": changes})
    return to_canonical(parse_model_service(manifest).spec)


def test_to_canonical_every_good_manifest_is_golden() -> None:
    # Revisions are named by a hash of this: a difference here restarts every pod of every user.
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert {name: canonical(name) for name in GOOD} == golden


def test_to_canonical_given_default_equals_left_out() -> None:
    given_defaults = canonical(
        model={"format": "onnx"},
        runtime={},
        replicas=1,
        resources={"requests": {}, "limits": {}},
        scheduling={
            "topologySpread": "Preferred",
            "tolerations": [],
            "affinity": {},
            "priorityClassName": "",
        },
        podMetadata={"labels": {}},
        imagePullSecrets=[],
        serviceAccountName="",
        terminationGracePeriodSeconds=60,
        rollout={"strategy": "RollingUpdate", "maxSurge": 1, "maxUnavailable": 0},
    )
    assert given_defaults == canonical()


def test_to_canonical_equal_quantities_are_equal() -> None:
    written = {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": 1}}
    stored = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1"}}
    assert canonical(resources=written) == canonical(resources=stored)


def test_to_canonical_empty_selector_differs_from_none() -> None:
    def affinity(**selector: Any) -> dict[str, Any]:
        term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}, **selector}
        return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}

    everywhere = canonical(scheduling=affinity(namespaceSelector={}))
    assert everywhere != canonical(scheduling=affinity())


@given(st.permutations(sorted(GOOD["everything"]["spec"])))
def test_to_canonical_order_of_fields_says_nothing(order: list[str]) -> None:
    shuffled = {**GOOD["everything"], "spec": {key: GOOD["everything"]["spec"][key] for key in order}}
    assert to_canonical(parse_model_service(shuffled).spec) == canonical("everything")


def test_to_canonical_is_json() -> None:
    assert json.loads(json.dumps(canonical("everything"))) == canonical("everything")


@pytest.mark.parametrize("name", GOOD)
def test_to_canonical_parsed_again_is_the_same(name: str) -> None:
    again = {**GOOD[name], "spec": canonical(name)}
    assert to_canonical(parse_model_service(again, strict=True).spec) == canonical(name)


def test_to_canonical_analysis_by_its_defaults_equals_one_that_spells_them() -> None:
    def analysis(**fields: Any) -> dict[str, Any]:
        return canonical(rollout={"strategy": "Canary", "canary": {"steps": [{"analysis": fields}]}})

    spelled = [
        {"type": "ErrorRatio", "maxIncrease": "0.01"},
        {"type": "LatencyP50", "maxRatio": "1.5"},
        {"type": "LatencyP95", "maxRatio": "1500m"},
        {"type": "NonFiniteRatio", "maxIncrease": "0.001"},
    ]
    assert analysis() == analysis(metrics=spelled, count=3, intervalSeconds=30, minRequests=50)
    assert analysis() != analysis(metrics=spelled[:2])


@given(st.decimals(0, 10_000, places=6, allow_nan=False))
def test_bounds_of_metrics_keep_their_value(bound: Decimal) -> None:
    steps = [{"analysis": {"metrics": [{"type": "ErrorRatio", "max": f"{bound:f}"}]}}]
    spec = {**GOOD["minimal"]["spec"], "rollout": {"strategy": "Canary", "canary": {"steps": steps}}}
    once = parse_model_service({**GOOD["minimal"], "spec": spec}).spec
    again = parse_model_service({**GOOD["minimal"], "spec": to_canonical(once)}).spec
    for read in (once, again):
        assert read.rollout.last_analysis is not None
        assert parse_quantity(str(read.rollout.last_analysis.metrics[0].max)) == bound
