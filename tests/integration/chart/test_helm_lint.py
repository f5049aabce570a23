"""helm's own linter."""

import subprocess

import pytest
from tests.support.chart import CHART, ROOT

GOLDEN = ROOT / "tests/unit/manifests/golden"


@pytest.mark.parametrize("values", [None, *sorted(GOLDEN.glob("*/values.yaml"))], ids=str)
def test_lint_finds_nothing(chart, values):
    options = ["--values", values] if values else []
    command = [chart.helm, "lint", "--strict", CHART, *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout
