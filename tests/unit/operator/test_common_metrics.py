"""What processes of ours tell under names of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from modelservice_operator import common_metrics
from modelservice_operator.common_metrics import process_registry


def names_of(registry: CollectorRegistry) -> set[str]:
    lines = generate_latest(registry).decode().splitlines()
    return {line.partition("{")[0].partition(" ")[0] for line in lines if not line.startswith("#")}


def test_common_metrics_have_the_prefix_of_the_process_that_tells_them():
    common_metrics.API_REQUESTS.labels("GET", "pods", 200).inc()
    common_metrics.API_SECONDS.labels("GET").observe(0.1)
    registry = process_registry("modelservice_autoscaler", CollectorRegistry(), common_metrics.CLIENT)
    names = names_of(registry)
    ours = {name for name in names if not name.startswith("process_")}
    assert {"modelservice_autoscaler_api_requests_total", "modelservice_autoscaler_build_info"} <= ours
    assert "modelservice_autoscaler_api_request_duration_seconds_bucket" in ours
    assert all(name.startswith("modelservice_autoscaler_") for name in ours)
    assert not any(name.endswith("_created") for name in names)
    # A second scrape says the same: the prefix is not put before itself.
    assert names_of(registry) == names


def test_process_that_elects_nobody_says_nothing_of_leading():
    activator = process_registry("modelservice_activator", CollectorRegistry(), common_metrics.CLIENT)
    assert not any("leader" in name for name in names_of(activator))


@pytest.mark.parametrize(
    "module", ["modelservice_operator", "modelservice_autoscaler", "modelservice_activator"]
)
def test_metrics_of_a_process_begin_with_its_name(module):
    code = (
        f"from {module} import metrics; from prometheus_client import generate_latest; "
        "print(generate_latest(metrics.REGISTRY).decode())"
    )
    page = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    families = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert families
    assert all(name.startswith(f"{module}_") for name in families)
