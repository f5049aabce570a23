"""prometheus-adapter's rules in the chart ask for what the server tells, and serve what our HPAs ask for.

So do the analyses of rollouts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.runtime.fake_nvml import make_nvml
from tests.unit.runtime.protocols.openai.played_model import PlayedLane

from modelservice_operator.api import Autoscaling
from modelservice_operator.decide.resources.autoscaler import build_autoscaler
from modelservice_operator.decide.resources.metadata import Owner
from modelservice_operator.work.measure.counts import HISTOGRAMS
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.generation.values import GenerativeModel
from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.models.snapshots import ModelSnapshot
from modelservice_runtime.observe.generation_metrics import GenerationMetrics
from modelservice_runtime.observe.metrics import MetricsApplication

if TYPE_CHECKING:
    from modelservice_runtime.generation.values import TextModel

ROOT = Path(__file__).parents[2]
FILE = ROOT / "charts/modelservice-operator/files/prometheus-adapter-rules.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["rules"]["custom"]
NAMES = [rule["name"]["as"] for rule in RULES]
# What PromQL has of its own.
_WORDS = {"sum", "avg", "by", "le", "rate", "avg_over_time", "histogram_quantile"}


@pytest.fixture(scope="module")
def series() -> set[str]:
    """The names of all series of a server with a GPU and a model that generates text."""
    texts = GenerativeModel("chat", "1", 0, cast("TextModel", None), PlayedLane())
    metrics = MetricsApplication(
        ModelTable(), open_gpus(lambda _: make_nvml(1)), [GenerationMetrics(lambda: [texts])]
    )
    text = metrics.render([ModelSnapshot("m", "1", 0, ModelStatistics())]).decode()
    # Prometheus' own words: the parser would give some counters another suffix.
    families = {family.name for family in text_string_to_metric_families(text)}
    return set(re.findall(r"^([a-zA-Z_:][\w:]*)[{ ]", text, re.MULTILINE)) | families


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_rule_asks_for_series_that_the_server_has(rule: dict[str, Any], series: set[str]) -> None:
    asked = re.match(r"[\w:]+", rule["seriesQuery"])
    assert asked is not None
    query = re.sub(r"<<[^>]*>>|\{[^}]*\}|\[[^\]]*\]", "", rule["metricsQuery"])
    words = set(re.findall(r"[a-zA-Z_][\w:]*", query)) - _WORDS
    assert words | {asked.group()} <= series
    assert asked.group() in words


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_rule_finds_pods_by_the_labels_of_their_scrape(rule: dict[str, Any]) -> None:
    assert rule["resources"]["overrides"] == {
        "namespace": {"resource": "namespace"},
        "pod": {"resource": "pod"},
    }
    assert rule["seriesQuery"].endswith('{namespace!="",pod!=""}')
    assert "<<.LabelMatchers>>" in rule["metricsQuery"]
    assert "<<.GroupBy>>" in rule["metricsQuery"]


def test_analyses_ask_for_histograms_that_the_server_has(series: set[str]) -> None:
    assert {f"{name}{part}" for name in HISTOGRAMS for part in ("_bucket", "_count")} <= series


def test_rules_serve_every_metric_that_an_hpa_of_ours_asks_for() -> None:
    asked = set()
    for gpu in ("Utilization", "Memory"):
        spec = {
            "maxReplicas": 4,
            "provider": "HPA",
            "metrics": [
                {"type": "Concurrency", "target": {"averageValue": "8"}},
                {"type": "RequestRate", "target": {"averageValue": "100"}},
                {"type": "QueueTime", "target": {"value": "50m"}},
                {"type": "GPU", "gpu": gpu, "target": {"averageUtilization": 70}},
                {"type": "TokensInFlight", "target": {"averageValue": "20k"}},
                {"type": "KVCache", "target": {"averageUtilization": 80}},
                {"type": "WaitingRequests", "target": {"averageValue": "2"}},
            ],
        }
        hpa = build_autoscaler(
            Owner(name="spam", namespace="mail", uid="uid"), Autoscaling.model_validate(spec)
        )
        asked |= {metric["pods"]["metric"]["name"] for metric in hpa["spec"]["metrics"]}
    assert asked == set(NAMES)
    assert len(NAMES) == len(asked)
