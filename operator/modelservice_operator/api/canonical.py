"""The canonical form of a spec: what a revision's hash is computed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelservice_operator.api.types.base import ApiModel


def to_canonical(spec: ApiModel) -> dict[str, Any]:
    """Return `spec` as JSON-able data in which equal meaning is equal data.

    Keys are camelCase, quantities in the API server's form, and a field that has its default value is
    left out, given or not: a new field of the API changes no old hash. The order of keys says nothing.
    """
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
