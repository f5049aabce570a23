"""The models accept every good manifest of the table and refuse every bad one with its sentence."""

import pytest
from tests.support.manifests import (
    Case,
    model_runtime_cases,
    model_service_cases,
    runtime_rollout_cases,
)

from modelservice_operator.api import (
    InvalidSpec,
    parse_model_runtime,
    parse_model_service,
    parse_runtime_rollout,
)

PARSERS = {
    "ModelService": parse_model_service,
    "ModelRuntime": parse_model_runtime,
    "RuntimeRollout": parse_runtime_rollout,
}
CASES = [*model_service_cases(), *model_runtime_cases(), *runtime_rollout_cases()]


def identify(case: Case) -> str:
    return f"{case.manifest['kind']}-{case.name}"


@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=identify)
def test_parse_good_manifest_returns_object(case: Case) -> None:
    parsed = PARSERS[case.manifest["kind"]](case.manifest, strict=True)
    assert parsed.metadata.name == case.manifest["metadata"]["name"]


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=identify)
def test_parse_bad_manifest_says_why(case: Case) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        PARSERS[case.manifest["kind"]](case.manifest, strict=True)
    assert not case.missing_sentences(str(refusal.value), "python"), str(refusal.value)
    assert len(refusal.value.problems) == len(case.refused), str(refusal.value)
