"""The schema of the chart's values: it knows every key, and refuses all others by their name."""

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

CHART = Path(__file__).parents[3] / "charts" / "modelservice-operator"
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
KeyPath = tuple[str, ...]


def walk(values: dict[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that has values below it, and the top."""
    yield path
    for key, value in values.items():
        if isinstance(value, dict):
            yield from walk(value, (*path, key))


def are_keys_free(path: KeyPath) -> bool:
    """Whether the keys below are the user's own."""
    return path == ("global",) or "".join(path[-1:]).lower().endswith(("labels", "annotations", "selector"))


def put(path: Sequence[str | int], value: object) -> dict[str, Any]:
    """The defaults with one value at `path`."""
    values = copy.deepcopy(VALUES)
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return values


def complaints(values: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(SCHEMA).iter_errors(values)]


def nested_keys(node: dict[str, Any], values: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that the schema knows, by its path, as far as `values` have objects."""
    for key, below in node.get("properties", {}).items():
        yield (*path, key)
        value = values.get(key) if isinstance(values, dict) else None
        if value:
            yield from nested_keys(below, value, (*path, key))


def test_schema_is_one_and_the_defaults_fit_it():
    Draft7Validator.check_schema(SCHEMA)
    assert complaints(VALUES) == []


def test_every_key_of_the_schema_is_among_the_values():
    for path in nested_keys(SCHEMA, VALUES):
        place: Any = VALUES
        for key in path:
            assert key in place, f"{'.'.join(path)} is in the schema and not in values.yaml"
            place = place[key]


@pytest.mark.parametrize("path", [path for path in walk(VALUES) if not are_keys_free(path)], ids=".".join)
def test_misspelt_key_is_refused_by_its_name(path):
    found = complaints(put((*path, "mispelt"), {}))
    assert len(found) == 1
    assert "'mispelt'" in found[0]


def test_objects_of_the_schema_are_closed_unless_their_keys_are_the_users():
    open_ones = []

    def look(node: object, path: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and node.get("additionalProperties") is None:
                open_ones.append(path)
            for key, value in node.items():
                look(value, f"{path}/{key}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                look(value, f"{path}/{index}")

    look(SCHEMA, "")
    affinity = [
        f"/definitions/affinity/properties/{kind}"
        for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")
    ]
    assert open_ones == ["/properties/global", *affinity]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("replicas",), "2"),
        (("replicas",), -1),
        (("operator", "workers"), 0),
        (("operator", "logLevel"), "info"),
        (("operator", "watchNamespaces"), ["Team_B"]),
        (("image", "repository"), ""),
        (("image", "repository"), "registry/operator:0.1.0"),
        (("image", "digest"), "0123"),
        (("image", "pullPolicy"), "Sometimes"),
        (("imagePullSecrets",), ["mirror"]),
        (("resources", "limits", "memory"), "512MB"),
        (("resources", "requests"), {"gpu": 1}),
        (("activator", "graceSeconds"), 9),
        (("commonLabels",), {"app.kubernetes.io/instance": "mine"}),
        (("podLabels",), {"app.kubernetes.io/managed-by": "me"}),
        (("podLabels",), {"team": "data science"}),
        (("nodeSelector",), {"gpu": True}),
        (("tolerations",), [{"key": "a", "operator": "Exist"}]),
        (("tolerations",), [{"kee": "a"}]),
        (("affinity",), {"nodeAfinity": {}}),
        (("extraEnv",), [{"name": "A", "valu": "b"}]),
        (("extraEnv",), [{"name": "POD_NAME", "value": "b"}]),
        (("extraEnv",), {"A": "b"}),
        (("monitoring", "enabled"), "yes"),
        (("monitoring", "interval"), "30"),
        (("priorityClass", "value"), 1_000_000_001),
        (("podDisruptionBudget", "maxUnavailable"), "half"),
        # No node of theirs could be drained.
        (("podDisruptionBudget", "maxUnavailable"), 0),
        (("podDisruptionBudget", "maxUnavailable"), "0%"),
        (("modelServices", "networkPolicy"), {"from": [{"podSelectors": {}}]}),
        (("modelServices", "networkPolicy"), {"extraPorts": [0]}),
        (("global", "imageRegistry"), "https://registry.example.com"),
    ],
)
def test_bad_value_is_refused_at_its_place(path, value):
    found = complaints(put(path, value))
    assert found
    assert all(line.startswith(f"$.{'.'.join(path)}") for line in found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("replicas",), 0),
        (("image", "repository"), "registry.example.com:5000/team/operator"),
        (("resources", "limits"), {"cpu": 2, "memory": "1.5Gi"}),
        (("rollingUpdate", "maxSurge"), "25%"),
        (("podDisruptionBudget", "maxUnavailable"), "50%"),
        (("commonLabels",), {"app.kubernetes.io/part-of": "platform", "team": "ml"}),
        (("tolerations",), [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}]),
        (("extraEnv",), [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        (
            ("modelServices", "networkPolicy"),
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "mode": "Strict"},
        ),
        (("monitoring", "enabled"), False),
        (("global",), {"imageRegistry": "", "parents": 1}),
        (("alerts", "disabled"), ["ModelServiceOperatorDown"]),
    ],
)
def test_good_value_passes(path, value):
    assert complaints(put(path, value)) == []
