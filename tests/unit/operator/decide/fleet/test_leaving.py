"""Members that their users delete, pin, edit or update themselves: they are taken as they are."""

from __future__ import annotations

import pytest
from tests.unit.operator.decide.fleet.cluster import NEW, OLD, OTHER, Cluster
from tests.unit.operator.decide.fleet.told import all_arrive, conditions


def test_pinned_edited_and_deleted_members_are_left_out() -> None:
    cluster = Cluster(5, maxConcurrent=1, maxUnavailable=1)
    cluster.look()
    cluster.pin("s01")
    cluster.move_away("s02")
    cluster.delete("s03")
    cluster.replace("s04")
    cluster.look_on()
    assert (cluster.states, cluster.status["progress"]) == ("UNEDD", "1/3")
    assert cluster.services["s04"].image == OLD


def test_deleted_members_count_no_more_though_they_were_updated() -> None:
    cluster = Cluster(3, maxConcurrent=1, maxUnavailable=1)
    cluster.look()
    all_arrive(cluster)
    cluster.look()
    assert (cluster.states, cluster.status["progress"]) == ("UMP", "1/3")
    cluster.delete("s00")
    cluster.replace("s02")
    cluster.look()
    assert (cluster.states, cluster.status["progress"]) == ("DMD", "0/1")
    cluster.look_on()
    cluster.delete("s01")
    cluster.look()
    assert (cluster.status["progress"], cluster.status["phase"]) == ("1/1", "Complete"), "it is over"


def test_stranger_that_has_the_name_of_a_member_takes_no_room() -> None:
    cluster = Cluster(3, maxConcurrent=1, maxUnavailable=1)
    cluster.vanish("s00")
    cluster.look()
    assert (cluster.states, cluster.status["unavailable"]) == ("BPP", 1)
    cluster.replace("s00")
    cluster.vanish("s00")
    cluster.look()
    assert (cluster.states, cluster.status["unavailable"]) == ("BMP", 0)


@pytest.mark.parametrize("is_well", [True, False])
def test_image_from_before_is_that_of_the_stable_revision(is_well: bool) -> None:
    """A service in the middle of its own update at the start has not had the image of that."""
    cluster = Cluster(2, maxConcurrent=2, maxUnavailable=2, onFailure="RollbackFailed")
    cluster.update("s00")
    cluster.look()
    cluster.end_update("s00", is_well)
    cluster.look()
    assert cluster.states == ("UM" if is_well else "MM")
    assert {line.split(" ")[2] for line in cluster.status["members"]} == {"0"}
    cluster.take("s00")
    cluster.give_up("s00")
    cluster.look_on()
    failed = 0 if is_well else 1
    assert (cluster.states, cluster.status["counts"]["failed"]) == ("UU" if is_well else "VU", failed)
    assert cluster.status["phase"] == ("Complete" if is_well else "Halted")


def test_failure_stays_one_where_there_is_nothing_to_take_back() -> None:
    cluster = Cluster(1, maxUnavailable=1, onFailure="RollbackFailed", paused=True)
    cluster.update("s00")
    cluster.end_update("s00", True)
    cluster.look()
    cluster.edit(paused=False, maintenanceWindows=[{"schedule": "30 3 * * *", "durationSeconds": 60}])
    cluster.look()
    cluster.update("s00", OLD)
    cluster.end_update("s00", True)
    cluster.wait(1800)
    cluster.look()
    assert cluster.states == "M"
    cluster.take("s00")
    cluster.give_up("s00")
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("V", "Halted")


def test_updated_members_that_their_users_took_away_do_not_fail_on_the_way_back() -> None:
    cluster = Cluster(4, maxConcurrent=4, maxUnavailable=4)
    cluster.look_on()
    cluster.move_away("s00")
    cluster.pin("s01")
    cluster.ask("rollback")
    cluster.look()
    assert cluster.states == "ENCC"
    cluster.move_away("s02")
    cluster.take("s02")
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("ENER", "RolledBack")
    assert (cluster.status["counts"]["failed"], conditions(cluster)["Degraded"]) == (0, "False")
    assert [one.image for one in cluster.services.values()] == [OTHER, NEW, OTHER, OLD]


def test_failed_members_that_their_users_took_away_have_failed() -> None:
    cluster = Cluster(3, maxConcurrent=3, maxUnavailable=3)
    cluster.look()
    for name in cluster.services:
        cluster.take(name)
        cluster.break_down(name)
    cluster.look()
    assert cluster.states == "FFF"
    cluster.move_away("s00")
    cluster.pin("s01")
    cluster.ask("rollback")
    cluster.look()
    cluster.take("s02")
    cluster.heal("s02")
    cluster.move_away("s02")
    cluster.look_on()
    assert (cluster.states, cluster.status["counts"]["failed"]) == ("XXX", 3)
