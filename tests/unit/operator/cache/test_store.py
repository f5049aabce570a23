"""The store: never backwards, deletions that stay, ownership, compact revisions."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.support.operator_objects import make_child, make_model_runtime, make_model_service

from modelservice_operator.cache.project import project_child
from modelservice_operator.cache.store import Store, is_newer
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.kinds import CONTROLLER_REVISIONS, DEPLOYMENTS, SCALED_OBJECTS, SERVICES

KEY = Key("mail", "spam")


def put_child(store: Store, resource=DEPLOYMENTS, **fields):
    return store.put_child(project_child(resource, make_child(resource.kind, **fields)))


def test_put_service_with_older_or_same_version_is_no_news():
    store = Store()
    assert store.put_service(make_model_service(version=9)) is not None
    assert store.put_service(make_model_service(version=9)) is None
    assert store.put_service(make_model_service(version=8, generation=7)) is None
    assert store.service(KEY).generation == 1


def test_versions_are_compared_as_numbers():
    assert is_newer("10", "9")
    assert not is_newer("9", "10")
    assert is_newer("b", "a")


@given(st.permutations(range(1, 8)))
def test_any_order_of_versions_ends_with_the_newest(versions):
    store = Store()
    for version in versions:
        store.put_service(make_model_service(version=version, generation=version))
    assert store.service(KEY).generation == 7


def test_remove_service_of_another_uid_keeps_the_new_one():
    store = Store()
    store.put_service(make_model_service(uid="new", version=20))
    assert not store.remove_service(KEY, "old", "19")
    assert store.service(KEY).uid == "new"


def test_answer_that_was_overtaken_by_the_deletion_brings_nothing_back():
    store = Store()
    store.put_service(make_model_service(version=5))
    assert store.remove_service(KEY, "uid-spam", "8")
    assert store.put_service(make_model_service(version=7)) is None
    assert store.observe(KEY) is None


def test_child_that_comes_back_into_the_selector_is_taken_again():
    store = Store()
    put_child(store, version=5)
    assert store.remove_child("Deployment", "mail", "spam-bx5c9d7fgz", "uid-Deployment-spam-bx5c9d7fgz", "6")
    assert put_child(store, version=6) is None
    assert put_child(store, version=7) is not None


def test_observe_collects_children_by_owner_and_by_label():
    store = Store()
    store.put_service(make_model_service())
    put_child(store)
    put_child(store, SERVICES, name="spam")
    put_child(store, SERVICES, name="orphan", owner=None)
    put_child(store, SERVICES, name="other", owner="ham", owner_uid="uid-ham")
    observed = store.observe(KEY)
    assert [child.name for child in observed.deployments] == ["spam-bx5c9d7fgz"]
    assert {child.name: child.owner_uid for child in observed.others} == {"spam": "uid-spam", "orphan": None}
    assert "managedFields" not in observed.service["metadata"]


def test_child_that_changes_its_owner_moves():
    store = Store()
    store.put_service(make_model_service())
    put_child(store, version=1)
    put_child(store, version=2, owner="ham", owner_uid="uid-ham")
    assert store.observe(KEY).deployments == ()


def test_child_of_a_foreign_controller_has_no_owner_name():
    child = project_child(DEPLOYMENTS, make_child(owner_kind="CronJob"))
    assert child.owner_name is None
    assert child.owner_uid == "uid-spam"


def test_snapshots_are_kept_compressed_and_restored_whole():
    store = Store()
    store.put_service(make_model_service())
    data = {"template": {"spec": {"containers": [{"name": "server", "args": ["--flag"] * 200}]}}}
    for number in range(3):
        put_child(store, CONTROLLER_REVISIONS, name=f"spam-{number}", data={**data, "number": number})
    kept = store.child("ControllerRevision", "mail", "spam-2")
    assert len(kept.data) < 100
    restored = {msgspec.json.decode(one.data)["number"]: one for one in store.observe(KEY).revisions}
    assert set(restored) == {0, 1, 2}
    assert msgspec.json.decode(restored[2].data) == {**data, "number": 2}
    assert restored[2].number == 3


def test_mark_deleting_shows_until_the_event_comes():
    store = Store()
    store.put_service(make_model_service())
    put_child(store)
    store.mark_deleting(store.observe(KEY).deployments[0])
    assert store.observe(KEY).deployments[0].deleting


def test_services_for_runtime_finds_named_and_default_ones():
    store = Store()
    store.put_service(make_model_service("named", runtime="onnx"))
    store.put_service(make_model_service("unnamed"))
    store.put_service(make_model_service("other", runtime="gpu"))
    assert {key.name for key in store.services_for_runtime("onnx", is_default=False)} == {"named"}
    assert {key.name for key in store.services_for_runtime("onnx", is_default=True)} == {"named", "unnamed"}


def test_runtimes_are_kept_by_name_and_go_by_uid():
    store = Store()
    assert store.put_runtime(make_model_runtime(version=3))
    assert not store.put_runtime(make_model_runtime(version=2))
    assert not store.remove_runtime("onnx", "another", "9")
    assert store.remove_runtime("onnx", "uid-onnx", "9")
    assert store.runtimes() == ()


def test_service_with_a_spec_of_the_wrong_shape_is_kept_all_the_same():
    store = Store()
    odd = make_model_service() | {"spec": {"runtime": "onnx"}}
    assert store.put_service(odd) is not None
    assert store.service(KEY).runtime_ref is None


def test_service_keeps_of_its_managed_fields_only_who_wrote_the_replicas():
    obj = make_model_service()
    person = {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:model": {}}}}
    scaler = {"manager": "hpa", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    obj["metadata"]["managedFields"] = [person, scaler]
    store = Store()
    store.put_service(obj)
    kept = [{"subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
    assert store.observe(KEY).service["metadata"]["managedFields"] == kept
    store.put_service(make_model_service(version=2))
    assert "managedFields" not in store.observe(KEY).service["metadata"]


def test_children_of_a_kind_that_is_not_served_any_more_may_come_back_as_they_were():
    store = Store()
    store.put_service(make_model_service())
    child = project_child(SCALED_OBJECTS, make_child("ScaledObject", "spam", version=7))
    store.put_child(child)
    store.put_child(project_child(DEPLOYMENTS, make_child(version=8)))
    store.forget_children("ScaledObject", "another")
    assert store.observe(KEY).others == (child,)
    store.forget_children("ScaledObject", None)
    assert store.observe(KEY).others == ()
    assert len(store.observe(KEY).deployments) == 1
    store.put_child(child)
    assert store.observe(KEY).others == (child,)
