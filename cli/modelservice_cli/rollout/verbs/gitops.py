"""Whether a tool writes the spec from Git, a chart or a program, by `metadata.managedFields`. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from modelservice_cli.rollout.facts import Object

_TOOLS = (
    (re.compile(r"argocd-(application-)?controller"), "Argo CD"),
    (re.compile(r"kustomize-controller"), "Flux"),
    (re.compile(r"helm-controller"), "Flux"),
    (re.compile(r"fleetagent"), "Fleet"),
    (re.compile(r"helm"), "Helm"),
    (re.compile(r"pulumi-kubernetes.*"), "Pulumi"),
    (re.compile(r"(?i:terraform).*"), "Terraform"),
)
"""Names of field managers, whole."""
_MARKS = (
    ("annotations", "argocd.argoproj.io/tracking-id", "application {}"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Kustomization {}"),
    ("labels", "helm.toolkit.fluxcd.io/name", "HelmRelease {}"),
    ("annotations", "meta.helm.sh/release-name", "release {}"),
)


class Source(NamedTuple):
    """The tool that writes the spec, and what it is called there where the object says so."""

    tool: str
    place: str | None


def find_source(service: Object, fields: Sequence[str], own_manager: str) -> Source | None:
    """Return the tool that manages one of these fields of the spec, None where people do.

    A field that `own_manager` took from a tool is still the tool's: it will write it again.
    """
    entries = service["metadata"].get("managedFields") or ()
    tools = [(tool, entry) for entry in entries for tool in _tool_of(entry)]
    is_taken = any(entry.get("manager") == own_manager and _manages(entry, fields) for entry in entries)
    for tool, entry in tools:
        if is_taken or _manages(entry, fields):
            return Source(tool, _place(service))
    return None


def _tool_of(entry: Mapping[str, Any]) -> Iterator[str]:
    manager = str(entry.get("manager", ""))
    if not entry.get("subresource"):
        yield from (tool for pattern, tool in _TOOLS if pattern.fullmatch(manager))


def _manages(entry: Mapping[str, Any], fields: Sequence[str]) -> bool:
    managed = (entry.get("fieldsV1") or {}).get("f:spec") or {}
    return any(f"f:{field}" in managed for field in fields)


def _place(service: Object) -> str | None:
    for part, key, sentence in _MARKS:
        value = (service["metadata"].get(part) or {}).get(key)
        if value:
            return sentence.format(str(value).partition(":")[0])
    return None
