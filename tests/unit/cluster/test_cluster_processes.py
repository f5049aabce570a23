import os
import time
from pathlib import Path

import pytest
from hack.cluster.errors import ClusterError
from hack.cluster.processes import (
    ProcessIdentity,
    ProcessTable,
    current_boot_id,
    current_identity,
    kill_all,
    parse_identity,
    read_identity,
)

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def table(tmp_path: Path) -> ProcessTable:
    return ProcessTable(tmp_path / "processes", tmp_path / "logs")


def wait_dead(table: ProcessTable, name: str) -> None:
    deadline = time.monotonic() + 120
    while table.pid(name) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_parse_identity_of_name_with_brackets_finds_start() -> None:
    fields = " ".join(str(number) for number in range(3, 53))
    assert parse_identity(f"boot\n42 (a) b (c)) {fields}") == ProcessIdentity("boot", 42, 22)


def test_start_records_process_that_kill_ends(table: ProcessTable) -> None:
    table.start("sleeper", ["sleep", "60"], ENVIRONMENT)
    pid = table.pid("sleeper")
    assert pid is not None
    table.kill(["sleeper"])
    assert read_identity(pid) is None
    assert table.names() == []


def test_check_of_dead_component_shows_end_of_its_log(table: ProcessTable) -> None:
    table.start("broken", ["sh", "-c", "echo first; echo 'cannot listen' >&2; exit 3"], ENVIRONMENT)
    wait_dead(table, "broken")
    with pytest.raises(ClusterError, match=r"(?s)broken stopped.*first.*cannot listen"):
        table.check()


def test_check_of_missing_program_names_it(table: ProcessTable) -> None:
    table.start("missing", ["/no/such/program"], ENVIRONMENT)
    wait_dead(table, "missing")
    with pytest.raises(ClusterError, match="/no/such/program"):
        table.check()


def test_kill_all_of_reused_pid_spares_the_other_process() -> None:
    ours = current_identity()
    kill_all([ProcessIdentity(ours.boot_id, ours.pid, ours.start_ticks - 1)])
    kill_all([ProcessIdentity("another-boot", ours.pid, ours.start_ticks)])
    assert ours.is_running()


def test_is_running_of_zombie_is_false() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert read_identity(child) is None
    finally:
        os.waitpid(child, 0)


def test_start_puts_component_in_session_of_its_own(table: ProcessTable) -> None:
    # So an interrupt on the terminal does not reach it.
    table.start("sleeper", ["sleep", "60"], ENVIRONMENT)
    pid = table.pid("sleeper")
    assert pid is not None
    try:
        assert os.getsid(pid) != os.getsid(0)
    finally:
        table.kill(["sleeper"])


def test_current_boot_id_is_that_of_own_identity() -> None:
    assert current_identity().boot_id == current_boot_id()
