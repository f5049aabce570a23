"""The metrics of models that generate text, as a scrape sees them."""

import re
import time
import urllib.request

from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS, Played

from modelservice_runtime.generation.values import Finish


def scrape(played: Played) -> list[str]:
    url = f"http://127.0.0.1:{played.server.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
        return answer.read().decode().splitlines()  # type: ignore[no-any-return]


def test_metrics_are_those_of_vllm(played: Played) -> None:
    lane = played.lane
    lane.waiting, lane.running = 3, 2
    statistics = lane.statistics
    statistics.prompt_tokens, statistics.prefix_hits = 11, 5
    statistics.finished[Finish.CANCELLED] = 4
    statistics.first_token_seconds.observe(0.03)
    text = scrape(played)
    labels = 'engine="0",model_name="chat"'
    for line in (
        f"vllm:num_requests_waiting{{{labels}}} 3.0",
        f"vllm:num_requests_running{{{labels}}} 2.0",
        f"vllm:kv_cache_usage_perc{{{labels}}} 0.25",
        f"vllm:prompt_tokens_total{{{labels}}} 11.0",
        f"vllm:prefix_cache_hits_total{{{labels}}} 5.0",
        'vllm:request_success_total{engine="0",finished_reason="abort",model_name="chat"} 4.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.02",model_name="chat"} 0.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.04",model_name="chat"} 1.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="chat"} 1.0',
        f"vllm:time_to_first_token_seconds_sum{{{labels}}} 0.03",
    ):
        assert line in text, line
    assert "# TYPE vllm:iteration_tokens_total histogram" in text


def test_each_reason_that_is_told_can_come(played: Played) -> None:
    """A text that is a call of a tool has ended by itself, as vLLM counts it."""
    told = re.findall(r'vllm:request_success_total{.*finished_reason="(\w+)"', "\n".join(scrape(played)))
    assert sorted(told) == ["abort", "error", "length", "stop"]


def test_the_memory_is_told_in_blocks_of_which_prompts_have_some_in_common(played: Played) -> None:
    limits = played.lane.limits
    (line,) = [line for line in scrape(played) if line.startswith("vllm:cache_config_info{")]
    size, number = map(int, re.findall(r'(?:block_size|num_gpu_blocks)="(\d+)"', line))
    assert size == 16
    assert 0 <= limits.max_context_tokens * limits.max_sequences - size * number < size


def test_adapters_in_use_are_told_with_the_time(played: Played) -> None:
    played.lane.adapters_in_use = frozenset({"polite", "law"}), frozenset({"law"})
    before = time.time()
    (line,) = [line for line in scrape(played) if line.startswith("vllm:lora_requests_info{")]
    labels, value = re.fullmatch(r".*{(.*)} (\S+)", line).groups()  # type: ignore[union-attr]

    assert labels == (
        'engine="0",max_lora="1",model_name="chat",running_lora_adapters="law,polite",'
        'waiting_lora_adapters="law"'
    )
    assert before - 1 <= float(value) <= time.time() + 1
