"""Which pods of a service are ready, and where."""

import pytest
from tests.unit.autoscaler.objects import make_endpoint, make_slice

from modelservice_autoscaler.watching.endpoints import Endpoint, Endpoints
from modelservice_autoscaler.watching.services import Key

SPAM = Key("mail", "spam")


@pytest.fixture
def endpoints() -> Endpoints:
    return Endpoints()


def test_ready_pods_of_all_slices_are_known_and_no_others(endpoints):
    endpoints.on_object(
        None, make_slice(make_endpoint("a", "10.0.0.1"), make_endpoint("b", "10.0.0.2", ready=False))
    )
    endpoints.on_object(None, make_slice(make_endpoint("c", "10.0.0.3", ready=None), name="spam-x2"))
    assert set(endpoints.ready(SPAM)) == {Endpoint("a", "10.0.0.1"), Endpoint("c", "10.0.0.3")}
    assert endpoints.ready(Key("mail", "other")) == ()


def test_pod_with_addresses_of_both_families_is_one_pod(endpoints):
    endpoints.on_object(None, make_slice(make_endpoint("a", "10.0.0.1")))
    endpoints.on_object(None, make_slice(make_endpoint("a", "fd00::1"), name="spam-x2"))
    assert [one.uid for one in endpoints.ready(SPAM)] == ["a"]


@pytest.mark.parametrize(
    "labels",
    [{"kubernetes.io__service-name": "spam-bx5c9d7fgz"}, {"modelservice.dev__name": "other"}],
    ids=["of a revision", "of somebody else"],
)
def test_slice_of_another_service_is_not_counted(endpoints, labels):
    endpoints.on_object(None, make_slice(make_endpoint("a", "10.0.0.1"), **labels))
    assert endpoints.ready(SPAM) == ()


@pytest.mark.parametrize(
    "endpoint",
    [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
        {"addresses": [], "conditions": {"ready": True}, "targetRef": {"uid": "a"}},
        {"conditions": {"ready": True}, "targetRef": {"uid": "a"}},
        {"addresses": ["10.0.0.1"], "conditions": {"ready": False}, "targetRef": {"uid": "a"}},
    ],
)
def test_endpoint_that_is_no_ready_pod_is_left_out(endpoints, endpoint):
    endpoints.on_object(None, make_slice(endpoint))
    assert endpoints.ready(SPAM) == ()


def test_slice_without_endpoints_leaves_no_pod(endpoints):
    endpoints.on_object(None, make_slice(make_endpoint("a", "10.0.0.1")))
    endpoints.on_object("MODIFIED", make_slice(version=2) | {"endpoints": None})
    assert endpoints.ready(SPAM) == ()


def test_pods_of_deleted_slices_are_gone(endpoints):
    for name, uid in (("spam-x1", "a"), ("spam-x2", "b"), ("spam-x3", "c")):
        endpoints.on_object(None, make_slice(make_endpoint(uid, "10.0.0.1"), name=name))
    endpoints.on_object("DELETED", make_slice(name="spam-x1", version=2))
    assert {one.uid for one in endpoints.ready(SPAM)} == {"b", "c"}
    endpoints.on_list({("mail", "spam-x3")}, "3")
    assert {one.uid for one in endpoints.ready(SPAM)} == {"c"}
    endpoints.on_list(set(), "3")
    assert endpoints.ready(SPAM) == ()
