"""How a client shows who it is, for the document; pure."""

from typing import Any

from modelservice_runtime.protocols.open_paths import is_open_target
from modelservice_runtime.settings.security import SecuritySettings

_BEARER = {"type": "http", "scheme": "bearer", "description": "an API key or a JSON Web Token"}
_API_KEY = {"type": "apiKey", "in": "header", "name": "X-Api-Key"}
_CERTIFICATE = {"type": "mutualTLS", "description": "a client certificate"}


def security_schemes(settings: SecuritySettings) -> dict[str, dict[str, str]]:
    """The ways that the server takes, by name; none where everybody may ask."""
    schemes: dict[str, dict[str, str]] = {}
    if settings.api_key_file is not None or settings.jwt is not None:
        schemes["bearer"] = _BEARER
    if settings.api_key_file is not None:
        schemes["apiKey"] = _API_KEY
    if settings.tls is not None and settings.tls.client_ca is not None:
        schemes["certificate"] = _CERTIFICATE
    return schemes


def security_requirements(settings: SecuritySettings) -> list[dict[str, list[str]]]:
    """What a request needs: any one of these, each with the client's certificate where that is asked for."""
    schemes = security_schemes(settings)
    always: dict[str, list[str]] = {"certificate": []} if "certificate" in schemes else {}
    keys = [name for name in schemes if name != "certificate"]
    return [{name: [], **always} for name in keys] or ([always] if always else [])


def open_operation(path: str) -> dict[str, Any]:
    """The member that says that everybody may ask, where that is so."""
    return {"security": []} if is_open_target(path.encode("ascii")) else {}
