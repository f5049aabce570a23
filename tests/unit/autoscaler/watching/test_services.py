"""What the autoscaler knows of ModelServices."""

import pytest
from tests.unit.autoscaler.objects import make_service

from modelservice_autoscaler.watching.services import Key, Services, read_service

SPAM = Key("mail", "spam")


@pytest.fixture
def changed() -> list[Key]:
    return []


@pytest.fixture
def services(changed) -> Services:
    known = Services()
    known.on_change = changed.append
    return known


def test_service_is_known_by_what_scaling_needs(services, changed):
    services.on_object(None, make_service(version=7, minReplicas=0, idleSeconds=60))
    service = services.get(SPAM)
    assert (service.version, service.replicas, service.engine) == ("7", 2, "Builtin")
    assert (service.spec.min_replicas, service.spec.max_replicas) == (1, 8)
    assert [signal.type for signal in service.spec.signals] == ["Concurrency"]
    assert service.idle_seconds == 60
    assert service.may_sleep
    assert changed == [SPAM]


@pytest.mark.parametrize(
    "spec", [{}, {"autoscaling": None}, {"autoscaling": {"maxReplicas": 0}}, {"autoscaling": "on"}]
)
def test_service_that_does_not_scale_or_cannot_be_read_is_unknown(services, changed, spec):
    services.on_object(None, make_service() | {"spec": spec})
    assert services.get(SPAM) is None
    assert changed == []


def test_service_that_stops_scaling_is_forgotten_and_told_of(services, changed):
    services.on_object(None, make_service(version=1))
    services.on_object("MODIFIED", make_service(version=2, generation=2) | {"spec": {"replicas": 2}})
    assert services.get(SPAM) is None
    assert changed == [SPAM, SPAM]


def test_deleted_service_is_forgotten(services):
    services.on_object(None, make_service(version=1))
    services.on_object("DELETED", make_service(version=2))
    assert services.get(SPAM) is None


def test_list_forgets_what_is_not_in_it_but_keeps_what_came_after(services):
    services.on_object(None, make_service(version=5))
    services.on_list(set(), "4")
    assert services.get(SPAM) is not None
    services.on_list(set(), "5")
    assert services.get(SPAM) is None


def test_list_is_believed_even_where_it_is_older(services):
    """After a restore from a backup nothing would ever be new again."""
    services.on_object(None, make_service(version=500))
    services.on_object(None, make_service(version=20, replicas=3))
    assert services.get(SPAM).replicas == 3


def test_answer_to_a_write_is_known_at_once_and_not_undone_by_events_from_before(services):
    services.on_object(None, make_service(version=5, replicas=2))
    services.on_written(services.get(SPAM), "8", replicas=4)
    assert (services.get(SPAM).replicas, services.get(SPAM).version) == (4, "8")
    assert not services.get(SPAM).is_complete
    services.on_object("MODIFIED", make_service(version=7, replicas=2))
    assert services.get(SPAM).replicas == 4
    services.on_object("MODIFIED", make_service(version=9, replicas=4, generation=2))
    assert services.get(SPAM).is_complete


def test_answer_to_a_write_that_comes_late_undoes_nothing(services):
    services.on_object(None, make_service(version=5, replicas=2))
    written = services.get(SPAM)
    services.on_object("MODIFIED", make_service(version=9, replicas=6, generation=3))
    services.on_written(written, "8", replicas=4)
    assert (services.get(SPAM).replicas, services.get(SPAM).version) == (6, "9")


def test_answer_about_another_service_of_that_name_is_dropped(services):
    services.on_object(None, make_service(version=5, uid="old"))
    written = services.get(SPAM)
    services.on_object("DELETED", make_service(version=6, uid="old"))
    services.on_object("ADDED", make_service(version=7, uid="new", replicas=1))
    services.on_written(written, "9", replicas=4)
    assert (services.get(SPAM).uid, services.get(SPAM).replicas) == ("new", 1)


def test_spec_is_read_anew_only_with_a_new_generation(services):
    services.on_object(None, make_service(version=1))
    spec = services.get(SPAM).spec
    services.on_object("MODIFIED", make_service(version=2, ready=False))
    assert services.get(SPAM).spec is spec
    services.on_object("MODIFIED", make_service(version=3, generation=2, maxReplicas=9))
    assert services.get(SPAM).spec.max_replicas == 9


def test_new_service_of_the_same_name_and_generation_is_read(services):
    services.on_object(None, make_service(version=1, uid="old"))
    services.on_object("MODIFIED", make_service(version=2, uid="new", maxReplicas=9))
    assert services.get(SPAM).spec.max_replicas == 9


@pytest.mark.parametrize(
    ("obj", "complete"),
    [
        (make_service(generation=3), True),
        (make_service(ready=False), False),
        (make_service() | {"status": {}}, False),
    ],
)
def test_service_is_complete_where_ready_speaks_of_its_generation(obj, complete):
    assert read_service(obj).is_complete is complete


def test_service_is_not_complete_while_the_operator_has_not_seen_the_spec():
    obj = make_service(generation=3)
    obj["metadata"]["generation"] = 4
    assert not read_service(obj).is_complete


@pytest.mark.parametrize(
    ("minimum", "engine", "sleeps"),
    [(0, "Builtin", True), (0, "HPA", True), (0, "Keda", False), (0, None, False), (1, "Builtin", False)],
)
def test_service_sleeps_by_us_unless_keda_or_nobody_decides(minimum, engine, sleeps):
    assert read_service(make_service(engine=engine, minReplicas=minimum)).may_sleep is sleeps


def test_percentages_are_of_the_request_or_else_of_the_limit():
    metrics = [{"type": kind, "target": {"averageUtilization": 50}} for kind in ("CPU", "Memory")]
    obj = make_service(metrics=metrics)
    obj["spec"]["resources"] = {"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert [signal.whole for signal in read_service(obj).spec.signals] == [0.5, 2.0**30]


def test_service_for_which_nobody_could_stand_in_is_not_sent_to_sleep() -> None:
    obj = make_service(engine="Builtin", minReplicas=0)
    obj["status"]["autoscaling"]["cannotSleep"] = "there is no activator"
    service = read_service(obj)
    assert service is not None
    assert not service.may_sleep


def test_percentages_are_of_what_pods_request_whoever_said_so(services):
    metric = {"type": "CPU", "target": {"averageUtilization": 50}}
    obj = make_service(version=1, metrics=[metric])
    services.on_object(None, obj)
    assert services.get(SPAM).spec.signals[0].whole is None
    obj = make_service(version=2, metrics=[metric])
    obj["status"]["autoscaling"]["podRequests"] = {"cpu": "500m"}
    services.on_object("MODIFIED", obj)
    assert services.get(SPAM).spec.signals[0].whole == 0.5
    # A change of the spec is what the pods have only when they have been replaced.
    obj["metadata"]["resourceVersion"] = "3"
    obj["spec"]["resources"] = {"requests": {"cpu": "2"}}
    services.on_object("MODIFIED", obj)
    assert services.get(SPAM).spec.signals[0].whole == 0.5
