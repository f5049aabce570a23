"""Names of everything that a ModelService owns, down to the containers of its pods. Pure.

A ModelService's name has at most 52 characters and a revision's name has 10, so `<service>-<revision>`
always fits into the 63 characters of a DNS label.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_CONTAINER = "server"
FETCH_CONTAINER = "fetch"
EXPLAINER_CONTAINER = "explainer"
REVISION_LENGTH = 10
_LETTERS = "bcdfghjklmnpqrstvwxz"
_ALPHABET = _LETTERS + "2456789"
"""Kubernetes' alphabet for generated names (`k8s.io/apimachinery/pkg/util/rand`): it spells no words."""


def revision_name(content: Mapping[str, Any]) -> str:
    """Return the name of the revision with this content: 10 characters of Kubernetes' safe alphabet.

    The first one is a letter, so that no YAML reader takes the name for a number.
    """
    encoded = msgspec.json.encode(content, order="deterministic")
    number = int.from_bytes(hashlib.sha256(encoded).digest(), "big")
    number, first = divmod(number, len(_LETTERS))
    characters = [_LETTERS[first]]
    for _ in range(REVISION_LENGTH - 1):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(characters)


def of_revision(service: str, revision: str) -> str:
    """Name of a revision's ControllerRevision, Deployment, Service and ResourceClaimTemplate."""
    return f"{service}-{revision}"


def revision_in(service: str, child: str) -> str | None:
    """Return the revision that a child's name carries, None for a child that belongs to no revision."""
    prefix = f"{service}-"
    revision = child[len(prefix) :]
    if not child.startswith(prefix) or len(revision) != REVISION_LENGTH:
        return None
    return revision if all(character in _ALPHABET for character in revision) else None


def service_account(service: str) -> str:
    """Name of the ServiceAccount without a token that pods run as by default."""
    return f"{service}-runtime"


def pods_service(service: str) -> str:
    """Name of the headless Service, whose name in DNS is the addresses of the pods.

    No ModelService may be named so, and a revision's name has another length.
    """
    return f"{service}-pods"


def preview_service(service: str) -> str:
    """Name of the Service that leads to a new revision before clients are led to it."""
    return f"{service}-preview"


def explainer(service: str) -> str:
    """Name of the explainer's Deployment, Service and NetworkPolicy; a revision's name has another length."""
    return f"{service}-explainer"


def standby_slice(service: str) -> str:
    """Name of the EndpointSlice that leads the clients of a service that sleeps to the activator."""
    return f"{service}-activator"


def url(service: str, namespace: str, model: str, *, is_encrypted: bool) -> str:
    """Address of the model of this name in the Open Inference Protocol, inside the cluster."""
    scheme = "https" if is_encrypted else "http"
    return f"{scheme}://{service}.{namespace}.svc/v2/models/{model}"
