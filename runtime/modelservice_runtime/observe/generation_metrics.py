"""Metrics of models that generate text, under vLLM's names: dashboards, autoscalers and gateways know them.

The Gateway API Inference Extension (proposal 003, "Model Server Protocol") requires the first three gauges.
Source of names and labels: vLLM, `docs/usage/metrics.md`. Nothing where no such model is served.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from modelservice_runtime.generation.statistics import Histogram
from modelservice_runtime.generation.values import GenerativeModel

_LABELS = ("model_name", "engine")
# vLLM's word for those whose client left.
_REASONS = {"cancelled": "abort"}
# Beginnings of any length are shared here, but schedulers count blocks that prompts have in common, and of a
# text's whole place there are none: vLLM's default.
_BLOCK_TOKENS = 16
_COUNTERS = (
    ("vllm:prompt_tokens", "Tokens of prompts that were read.", "prompt_tokens"),
    ("vllm:generation_tokens", "Tokens that were generated.", "generation_tokens"),
    ("vllm:prefix_cache_queries", "Tokens of prompts that were looked up.", "prefix_queries"),
    ("vllm:prefix_cache_hits", "Those of them that an earlier request had left.", "prefix_hits"),
)
_HISTOGRAMS = (
    ("vllm:time_to_first_token_seconds", "From a request to its first token.", "first_token_seconds"),
    ("vllm:inter_token_latency_seconds", "Between two tokens of a request.", "between_tokens_seconds"),
    ("vllm:time_per_output_token_seconds", "The same under its older name.", "between_tokens_seconds"),
    ("vllm:e2e_request_latency_seconds", "From a request to its last token.", "request_seconds"),
    ("vllm:request_queue_time_seconds", "How long requests waited for a place.", "queue_seconds"),
    ("vllm:request_prefill_time_seconds", "How long their prompts were read.", "prefill_seconds"),
    ("vllm:request_decode_time_seconds", "How long their answers were generated.", "decode_seconds"),
    ("vllm:request_prompt_tokens", "Tokens of a request's prompt.", "request_prompt_tokens"),
    ("vllm:request_generation_tokens", "Tokens of a request's answer.", "request_generation_tokens"),
    ("vllm:iteration_tokens_total", "Tokens that went through the model together.", "step_tokens"),
)


class GenerationMetrics(Collector):
    """Every model of `models` at the moment of the scrape; on the event loop's thread."""

    def __init__(self, models: Callable[[], Sequence[GenerativeModel]]) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        models = self._models()
        if not models:
            return
        yield from _gauges(models)
        for name, text, attribute in _COUNTERS:
            counter = CounterMetricFamily(name, text, labels=_LABELS)
            for model in models:
                counter.add_metric(_labels(model), getattr(model.lane.statistics, attribute))
            yield counter
        yield _ends(models)
        for name, text, attribute in _HISTOGRAMS:
            histogram = HistogramMetricFamily(name, text, labels=_LABELS)
            for model in models:
                _add(histogram, model, getattr(model.lane.statistics, attribute))
            yield histogram


def _gauges(models: Sequence[GenerativeModel]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("vllm:num_requests_waiting", "Requests without a place.", labels=_LABELS)
    running = GaugeMetricFamily("vllm:num_requests_running", "Requests that have one.", labels=_LABELS)
    usage = GaugeMetricFamily(
        "vllm:kv_cache_usage_perc", "Used share of the memory for keys and values, 0 to 1.", labels=_LABELS
    )
    tokens = GaugeMetricFamily(
        "modelservice_tokens_in_flight",
        "Tokens of requests that wait or run: of their prompts, and those that were generated.",
        labels=_LABELS,
    )
    info = GaugeMetricFamily(
        "vllm:cache_config_info",
        "Tokens of a block, by which schedulers count what prompts have in common, and blocks.",
        labels=(*_LABELS, "block_size", "num_gpu_blocks"),
    )
    for model in models:
        lane, labels = model.lane, _labels(model)
        waiting.add_metric(labels, lane.waiting)
        running.add_metric(labels, lane.running)
        usage.add_metric(labels, lane.kv_usage)
        tokens.add_metric(labels, lane.tokens_in_flight)
        blocks = lane.limits.max_context_tokens * lane.limits.max_sequences // _BLOCK_TOKENS
        info.add_metric((*labels, str(_BLOCK_TOKENS), str(blocks)), 1)
    yield from (waiting, running, usage, tokens, info)
    adapted = [model for model in models if model.adapters]
    if adapted:
        yield _adapters(adapted)


def _adapters(models: Sequence[GenerativeModel]) -> Metric:
    """Its value is the time at which its labels were so, by which gateways choose the newest of several."""
    gauge = GaugeMetricFamily(
        "vllm:lora_requests_info",
        "Adapters of requests that have a place and of those without, and how many may have one.",
        labels=(*_LABELS, "max_lora", "running_lora_adapters", "waiting_lora_adapters"),
    )
    for model in models:
        running, waiting = (",".join(sorted(names)) for names in model.lane.adapters_in_use)
        gauge.add_metric((*_labels(model), str(len(model.adapters)), running, waiting), time.time())
    return gauge


def _ends(models: Sequence[GenerativeModel]) -> Metric:
    counter = CounterMetricFamily(
        "vllm:request_success", "Requests that ended, by reason.", labels=(*_LABELS, "finished_reason")
    )
    for model in models:
        for reason, count in model.lane.statistics.finished.items():
            counter.add_metric((*_labels(model), _REASONS.get(reason, reason)), count)
    return counter


def _add(metric: HistogramMetricFamily, model: GenerativeModel, histogram: Histogram) -> None:
    names = [*(f"{bound:g}" if bound != int(bound) else f"{bound:.1f}" for bound in histogram.bounds), "+Inf"]
    buckets = list(zip(names, accumulate(histogram.counts), strict=True))
    metric.add_metric(_labels(model), buckets, sum_value=histogram.sum)


def _labels(model: GenerativeModel) -> tuple[str, str]:
    return model.name, "0"
