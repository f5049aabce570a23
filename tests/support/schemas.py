"""JSON Schemas for kubeconform: from what an API server says of its kinds, or from a CRD that it lacks.

A field that the schema does not name is an error, as it is with `kubectl apply --validate=strict`.
"""

from __future__ import annotations

import copy
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hack.cluster.api import Api

Object = dict[str, Any]
Kind = tuple[str, str]
"""apiVersion and kind."""

LOCATION = "{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json"
"""How kubeconform names a schema; what it calls the group of the core kinds is their version."""
_PREFIX = "#/components/schemas/"
_INT_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "integer"}]}


def kind_of(obj: Object) -> Kind:
    """Return what says which schema an object has to fit."""
    return obj["apiVersion"], obj["kind"]


def write_schemas(api: Api, kinds: Iterable[Kind], crds: Iterable[Object], folder: Path) -> None:
    """Write a schema for each kind, as the API server publishes it, and for each version of the CRDs."""
    for api_version in sorted({api_version for api_version, _ in kinds}):
        wanted = {kind for version, kind in kinds if version == api_version}
        place = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
        # What a CRD brings is published a moment after it is established.
        wait_until(
            lambda place=place, wanted=wanted: wanted <= _published(api, place).keys(),
            f"{wanted} are published",
        )  # type: ignore[misc]
        for kind in wanted:
            _write(folder, (api_version, kind), _published(api, place)[kind])
    for crd in crds:
        for version in crd["spec"]["versions"]:
            kind = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
            _write(folder, kind, make_strict(_with_head(version["schema"]["openAPIV3Schema"])))


def _published(api: Api, place: str) -> dict[str, Object]:
    """Return the schemas of the kinds of one group and version, each with all that it refers to."""
    group, _, version = place.removeprefix("apis/").removeprefix("api/").rpartition("/")
    schemas = api.get(f"/openapi/v3/{place}").get("components", {}).get("schemas", {})
    definitions = {name: make_strict(schema) for name, schema in schemas.items()}
    return {
        own["kind"]: {"$ref": f"#/definitions/{name}", "definitions": definitions}
        for name, schema in schemas.items()
        for own in schema.get("x-kubernetes-group-version-kind", ())
        if (own["group"], own["version"]) == (group, version)
    }


def _with_head(schema: Object) -> Object:
    head = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {}}
    return {**schema, "properties": {**head, **schema.get("properties", {}), "metadata": {}}}


def make_strict(schema: Any) -> Any:
    """Return an OpenAPI schema of Kubernetes as a JSON Schema that refuses fields which it does not name."""
    if isinstance(schema, list):
        return [make_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return copy.deepcopy(_INT_OR_STRING)
    properties = schema.get("properties")
    # The names of fields are no keywords: there is one that is called $ref.
    made = {key: make_strict(value) for key, value in schema.items() if key not in ("properties", "format")}
    if isinstance(schema.get("$ref"), str):
        made["$ref"] = schema["$ref"].replace(_PREFIX, "#/definitions/")
    if properties is not None:
        made["properties"] = {name: make_strict(part) for name, part in properties.items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


def _write(folder: Path, kind: Kind, schema: Object) -> None:
    group, _, version = kind[0].rpartition("/")
    (folder / f"{group or version}-{version}-{kind[1]}.json".lower()).write_text(json.dumps(schema))


@dataclass(frozen=True)
class Validator:
    """kubeconform with a folder of schemas."""

    program: Path
    folder: Path

    def find_faults(self, objects: Iterable[Object]) -> list[str]:
        """Return a sentence for each object that does not fit, or of whose kind there is no schema."""
        options = ("-strict", "-output", "json", "-schema-location", str(self.folder / LOCATION))
        documents = "\n---\n".join(json.dumps(one) for one in objects)
        result = subprocess.run(
            [self.program, *options], input=documents, capture_output=True, text=True, check=False
        )
        assert result.stdout, result.stderr
        found = json.loads(result.stdout)["resources"]
        return [f"{one['kind']} {one['name']}: {one['msg']}" for one in found]
