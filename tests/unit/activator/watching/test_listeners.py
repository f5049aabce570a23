"""What is believed of slices and ModelServices, and what is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_activator.watching.listeners import SliceListener, WishListener, read_wish
from modelservice_activator.watching.services import Service, Services, Wish

KEY = ("mail", "spam")
STANDBY, CONTROLLER = "activator.modelservice.dev", "endpointslice-controller.k8s.io"


def make_slice(
    name: str,
    owner: str,
    *addresses: str,
    version: int = 1,
    service: str = "spam",
    of: str = "spam",
    ready: bool | None = True,
    port: int = 8080,
) -> dict[str, Any]:
    labels = {
        "kubernetes.io/service-name": service,
        "endpointslice.kubernetes.io/managed-by": owner,
        "modelservice.dev/name": of,
        "app.kubernetes.io/managed-by": "modelservice-operator",
    }
    conditions = {} if ready is None else {"ready": ready}
    return {
        "metadata": {
            "namespace": "mail", "name": name, "labels": labels, "resourceVersion": str(version)
        },
        "endpoints": [{"addresses": [one], "conditions": conditions} for one in addresses],
        "ports": [{"name": "http", "port": port}],
    }  # fmt: skip


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def listener(services: Services) -> SliceListener:
    return SliceListener(services)


def known(services: Services) -> Service:
    service = services.get(KEY)
    assert service is not None
    return service


def test_service_is_known_by_its_standby_slice_alone(services: Services, listener: SliceListener) -> None:
    listener.on_object(None, make_slice("spam-1", CONTROLLER, "10.0.0.1"))
    assert services.get(KEY) is None
    listener.on_object(None, make_slice("spam-activator", STANDBY, "10.0.0.9", ready=False, port=20000))
    assert known(services).ports == {"http": 20000}
    assert not known(services).leads_here
    # What came before it is not forgotten.
    assert known(services).pods == {"http": {("10.0.0.1", 8080)}}
    listener.on_object("MODIFIED", make_slice("spam-activator", STANDBY, "10.0.0.9", port=20000, version=2))
    assert known(services).leads_here
    listener.on_object("DELETED", make_slice("spam-activator", STANDBY, version=3))
    assert services.get(KEY) is None


def test_ready_pods_of_all_slices_count_and_no_others(services: Services, listener: SliceListener) -> None:
    listener.on_object(None, make_slice("spam-activator", STANDBY))
    listener.on_object(None, make_slice("spam-1", CONTROLLER, "10.0.0.1", "10.0.0.2"))
    listener.on_object(None, make_slice("spam-2", CONTROLLER, "10.0.0.2", "fd00::1"))
    listener.on_object(None, make_slice("spam-3", CONTROLLER, "10.0.0.4", ready=False))
    listener.on_object(None, make_slice("spam-4", "somebody.else", "10.0.0.5"))
    listener.on_object(None, make_slice("spam-pods-1", CONTROLLER, "10.0.0.6", service="spam-pods"))
    expected = {("10.0.0.1", 8080), ("10.0.0.2", 8080), ("fd00::1", 8080)}
    assert known(services).pods == {"http": expected}
    listener.on_object("DELETED", make_slice("spam-2", CONTROLLER))
    assert known(services).pods == {"http": {("10.0.0.1", 8080), ("10.0.0.2", 8080)}}


def test_slice_that_becomes_somebody_elses_is_forgotten(services: Services, listener: SliceListener) -> None:
    listener.on_object(None, make_slice("spam-activator", STANDBY))
    listener.on_object(None, make_slice("spam-1", CONTROLLER, "10.0.0.1"))
    listener.on_object("MODIFIED", make_slice("spam-1", "somebody.else", "10.0.0.1", version=2))
    assert known(services).pods == {}
    listener.on_object(
        "MODIFIED", make_slice("spam-1", CONTROLLER, "10.0.0.1", version=3, of="ham", service="ham")
    )
    assert known(services).pods == {}


def test_list_that_lacks_a_slice_deletes_it_unless_it_is_newer(
    services: Services, listener: SliceListener
) -> None:
    listener.on_object(None, make_slice("spam-activator", STANDBY, version=9))
    listener.on_object(None, make_slice("spam-1", CONTROLLER, "10.0.0.1", version=5))
    listener.on_object(None, make_slice("spam-2", CONTROLLER, "10.0.0.2", version=8))
    listener.on_list({("mail", "spam-activator")}, "6")
    assert known(services).pods == {"http": {("10.0.0.2", 8080)}}


def test_only_news_are_told(services: Services, listener: SliceListener) -> None:
    told: list[Service] = []
    services.subscribe(told.append)
    for _ in range(3):
        listener.on_object(None, make_slice("spam-activator", STANDBY, version=2))
    assert len(told) == 1


def test_wish_is_not_taken_back_by_an_older_one(services: Services, listener: SliceListener) -> None:
    listener.on_object(None, make_slice("spam-activator", STANDBY))
    wishes = WishListener(services)

    def tell(event: str, replicas: int, version: int) -> None:
        spec = {"replicas": replicas, "autoscaling": {"minReplicas": 0}}
        metadata = {"namespace": "mail", "name": "spam", "resourceVersion": str(version)}
        wishes.on_object(event, {"metadata": metadata, "spec": spec})

    tell("ADDED", 0, 5)
    services.set_wish(KEY, Wish(replicas=1, min_replicas=0, version="10"))  # looked at in between
    tell("MODIFIED", 0, 7)
    wish = known(services).wish
    assert wish is not None
    assert not wish.sleeps
    wishes.on_list(set(), "11")
    assert known(services).wish is None


@given(st.integers(0, 3), st.none() | st.integers(0, 2))
def test_wish_sleeps_or_is_off_but_never_both(replicas: int, least: int | None) -> None:
    autoscaling = {} if least is None else {"autoscaling": {"minReplicas": least}}
    wish = read_wish({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": replicas, **autoscaling}})
    assert wish is not None
    assert wish.sleeps == (replicas == 0 and least == 0)
    assert wish.is_off == (replicas == 0 and least != 0)
