"""Every field of a ModelService or RuntimeRollout that the documentation names is in its definition."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "docs/*.md", "examples/*/README.md", "gitops/**/*.md")
    for path in ROOT.glob(pattern)
)
OF_OTHERS = {"status.supportedFeatures"}
"""Fields of other kinds: this one is a GatewayClass's."""
FIELD = re.compile(r"`((?:spec|status)(?:\.[a-zA-Z0-9]+)+)`")


OF_FLEETS = {"docs/fleet.md", "docs/runbooks.md", "examples/04-fleet/README.md"}
"""Pages that speak of RuntimeRollouts too."""


def read_schema(kind: str) -> dict[str, Any]:
    text = (ROOT / f"crds/{kind}.yaml").read_text(encoding="utf-8")
    crd: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return read_schema("modelservices")


@pytest.fixture(scope="module")
def fleet_schema() -> dict[str, Any]:
    return read_schema("runtimerollouts")


def has_field(schema: dict[str, Any], path: str) -> bool:
    for name in path.split("."):
        while schema["type"] == "array":
            schema = schema["items"]
        if "additionalProperties" in schema:
            return True  # a key of a map, such as limits.memory
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


@pytest.mark.parametrize("page", PAGES)
def test_fields_that_a_page_names_exist(
    page: str, schema: dict[str, Any], fleet_schema: dict[str, Any]
) -> None:
    named = set(FIELD.findall((ROOT / page).read_text(encoding="utf-8"))) - OF_OTHERS
    schemas = [schema, fleet_schema] if page in OF_FLEETS else [schema]
    assert [field for field in sorted(named) if not any(has_field(one, field) for one in schemas)] == []


def test_field_that_is_misspelt_is_found(schema: dict[str, Any]) -> None:
    assert has_field(schema, "spec.rollout.canary.steps.setWeight")
    assert not has_field(schema, "spec.rollout.canary.step")
