"""Waiting for definitions, with a kubectl that fails as the real one does."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hack.demo.errors import DemoError
from hack.demo.kubectl import Kubectl
from hack.demo.up import wait_established

NULL_CONDITIONS = (
    "error: .status.conditions accessor error: <nil> is of the type <nil>, expected []interface{}"
)
FAIL_ONCE = 'test -e "$1" || { touch "$1"; echo "$2" >&2; exit 1; }'


@dataclass(frozen=True)
class KubectlThatFailsOnce(Kubectl):
    """Fails in its first call, with a message."""

    marker: Path = Path()
    message: str = ""

    def command(self, *_arguments: str) -> list[str]:
        return ["sh", "-c", FAIL_ONCE, "kubectl", str(self.marker), self.message]


def test_wait_established_null_conditions_waits_again(tmp_path):
    kubectl = KubectlThatFailsOnce(marker=tmp_path / "called", message=NULL_CONDITIONS)
    wait_established(kubectl, ["crd/one"])
    assert kubectl.marker.exists()


def test_wait_established_other_failure_is_reported(tmp_path):
    kubectl = KubectlThatFailsOnce(marker=tmp_path / "called", message="error: timed out")
    with pytest.raises(DemoError, match="timed out"):
        wait_established(kubectl, ["crd/one"])
