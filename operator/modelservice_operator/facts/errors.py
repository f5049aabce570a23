"""What can go wrong between the operator and the API server, and how a refused write is reported.

`kubeapi` raises `ApiError`s; `apply` turns them into `ApplyFailure`s, which status and events show. Nothing
else interprets HTTP codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.observed import ApplyFailure

if TYPE_CHECKING:
    from collections.abc import Mapping


FORBIDDEN = 403
"""The HTTP code of a request that our account has no right to make."""


class OperatorError(Exception):
    """The operator cannot start or go on; the message says what to do."""


class LeadershipLostError(Exception):
    """A write was attempted without a valid Lease: another replica may be leading."""


class ApiError(Exception):
    """The API server refused a request, or did not answer it.

    `status` is the HTTP code, 0 where there was no answer. `reason` and `details` are those of the
    `metav1.Status` in the body. `retry_after_seconds` is the server's wish, None without one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.details = details or {}
        self.retry_after_seconds = retry_after_seconds


class TransportError(ApiError):
    """No usable answer: refused, reset, timed out or cut. The request may have been carried out."""


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409: a UID or resourceVersion precondition failed, or the name is taken."""


class GoneError(ApiError):
    """410: the resourceVersion or the continue token is too old; list again."""


STATUS_ERRORS: Mapping[int, type[ApiError]] = {404: NotFoundError, 409: ConflictError, 410: GoneError}


def api_error(status: int, body: Mapping[str, Any], retry_after: str | None = None) -> ApiError:
    """The error for an HTTP answer (or an in-stream ERROR event) with a `metav1.Status` as body."""
    details = body.get("details") or {}
    seconds = _parse_seconds(retry_after)
    if (
        seconds is None
        and isinstance(details.get("retryAfterSeconds"), int)
        and status in (429, 500, 503, 504)
    ):
        seconds = float(details["retryAfterSeconds"])
    error_type = STATUS_ERRORS.get(status, ApiError)
    return error_type(
        str(body.get("message") or f"the API server answered HTTP {status}"),
        status=status,
        reason=str(body.get("reason") or ""),
        details=details,
        retry_after_seconds=seconds,
    )


def _parse_seconds(value: str | None) -> float | None:
    """`Retry-After` in seconds; the date form, which API servers do not send, counts as absent."""
    return float(value) if value is not None and value.isdigit() else None


def is_namespace_gone(error: ApiError) -> bool:
    """Whether the namespace is being terminated or does not exist any more: retries cannot help."""
    causes = error.details.get("causes") or ()
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return True
    return error.status == 404 and error.details.get("kind") == "namespaces"


def apply_failure(error: ApiError, kind: str, name: str) -> ApplyFailure:
    """How status reports a write of `kind` `name` that ended in `error`."""
    reason, transient = _classify(error)
    return ApplyFailure(kind=kind, name=name, reason=reason, message=error.message, transient=transient)


def _classify(error: ApiError) -> tuple[str, bool]:
    """Reason and whether it passes by itself."""
    if is_namespace_gone(error):
        return "NamespaceTerminating", False
    if error.status == 403 and "exceeded quota" in error.message:
        return "QuotaExceeded", False
    if error.status == 403:
        return "Forbidden", False
    if error.status in (400, 405, 413, 415, 422):
        return "Rejected", False
    return "Unavailable", True
