"""How refused requests are classified and reported."""

import pytest

from modelservice_operator.facts.errors import (
    ApiError,
    ConflictError,
    GoneError,
    NotFoundError,
    TransportError,
    api_error,
    apply_failure,
    is_namespace_gone,
)

TERMINATING = {
    "message": "namespaces is being terminated",
    "details": {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
}


@pytest.mark.parametrize(
    ("status", "error_type"), [(404, NotFoundError), (409, ConflictError), (410, GoneError), (500, ApiError)]
)
def test_api_error_has_the_type_of_its_status(status, error_type):
    assert type(api_error(status, {"message": "m"})) is error_type


@pytest.mark.parametrize(
    ("status", "body", "reason", "transient"),
    [
        (403, TERMINATING, "NamespaceTerminating", False),
        (404, {"message": "gone", "details": {"kind": "namespaces"}}, "NamespaceTerminating", False),
        (403, {"message": 'pods "x" is forbidden: exceeded quota: q'}, "QuotaExceeded", False),
        (403, {"message": "cannot patch"}, "Forbidden", False),
        (422, {"message": "invalid"}, "Rejected", False),
        (400, {"message": "bad"}, "Rejected", False),
        (429, {"message": "slow down"}, "Unavailable", True),
        (500, {"message": "oops"}, "Unavailable", True),
        (401, {"message": "who"}, "Unavailable", True),
        (409, {"message": "conflict"}, "Unavailable", True),
    ],
)
def test_apply_failure_maps_each_refusal(status, body, reason, transient):
    failure = apply_failure(api_error(status, body), "Deployment", "spam")
    assert (failure.reason, failure.transient) == (reason, transient)
    assert failure.message == body["message"]


def test_apply_failure_of_a_lost_answer_is_transient():
    assert apply_failure(TransportError("cut"), "Service", "spam").reason == "Unavailable"


def test_retry_after_is_read_from_header_or_body():
    assert api_error(429, {}, "7").retry_after_seconds == 7.0
    assert api_error(503, {"details": {"retryAfterSeconds": 3}}).retry_after_seconds == 3.0
    assert api_error(429, {}, "Wed, 21 Oct 2026 07:28:00 GMT").retry_after_seconds is None
    assert api_error(422, {"details": {"retryAfterSeconds": 3}}).retry_after_seconds is None


def test_is_namespace_gone_is_false_for_an_absent_object():
    assert not is_namespace_gone(api_error(404, {"details": {"kind": "deployments", "name": "x"}}))
