"""The dashboard of models that generate text: how long tokens take, what is held, and who waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hack.generate.dashboards.board import OF_PODS, board, query_variable
from hack.generate.dashboards.panels import (
    NUMBER,
    PER_SECOND,
    SECONDS,
    SHARE,
    Levels,
    Query,
    graph,
    number,
    quantile,
    quantiles,
    rate,
    row,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

FIRST_TOKEN = "vllm:time_to_first_token_seconds"
BETWEEN_TOKENS = "vllm:inter_token_latency_seconds"
TOKENS_A_SECOND = "short"
REVISION = "modelservice_dev_revision"
NAMED = "{{modelservice_dev_revision}}"
POD = "{{pod}}"
_FULL = Levels(warning=0.8, bad=0.95)
_NAMES = "label_values(vllm:num_requests_running, namespace)"
_SERVICES = 'label_values(vllm:num_requests_running{namespace="$namespace"}, modelservice_dev_name)'


def generation_dashboard() -> Dashboard:
    """Everything about the texts of one ModelService."""
    dashboard = (
        board("generation", "ModelService / Generation", "The texts that one ModelService generates.")
        .with_variable(query_variable("namespace", "Namespace", _NAMES))
        .with_variable(query_variable("service", "Service", _SERVICES))
    )
    for part in (_summary, _times, _tokens, _places):
        part(dashboard)
    return dashboard


def _of_pods(series: str) -> str:
    return f"{series}{{{OF_PODS}}}"


def _summary(dashboard: Dashboard) -> None:
    for panel in (
        number(
            "First token p95",
            "One of twenty waits longer for the first token.",
            SECONDS,
            Query(quantile(0.95, FIRST_TOKEN, OF_PODS)),
        ),
        number(
            "Between tokens p95",
            "One of twenty tokens comes later behind the one before it.",
            SECONDS,
            Query(quantile(0.95, BETWEEN_TOKENS, OF_PODS)),
        ),
        number(
            "Tokens a second",
            "Those that were generated.",
            TOKENS_A_SECOND,
            Query(rate("vllm:generation_tokens_total", OF_PODS)),
        ),
        number("Running", "Requests that have a place.", NUMBER, Query(_sum("vllm:num_requests_running"))),
        number("Waiting", "Requests without one.", NUMBER, Query(_sum("vllm:num_requests_waiting"))),
        number(
            "Memory for keys and values",
            "Share of it that running requests fill, on average over the pods.",
            SHARE,
            Query(f"avg({_of_pods('vllm:kv_cache_usage_perc')})"),
            levels=_FULL,
        ),
    ):
        dashboard.with_panel(panel)


def _sum(series: str) -> str:
    return f"sum({_of_pods(series)})"


def _times(dashboard: Dashboard) -> None:
    dashboard.with_row(row("Times"))
    for title, description, histogram in (
        ("Time to the first token", "From a request to the first token of its answer.", FIRST_TOKEN),
        ("Time between tokens", "Between two tokens of an answer.", BETWEEN_TOKENS),
        (
            "Time of a request",
            "From a request to the last token of its answer: long texts take long.",
            "vllm:e2e_request_latency_seconds",
        ),
    ):
        dashboard.with_panel(graph(title, description, SECONDS, *quantiles(histogram, OF_PODS)))
    dashboard.with_panel(
        graph(
            "Where the time goes",
            "On average: waiting for a place, reading the prompt, generating the answer.",
            SECONDS,
            *(
                Query(
                    f"{rate(f'vllm:request_{name}_time_seconds_sum', OF_PODS)}"
                    f" / {rate(f'vllm:request_{name}_time_seconds_count', OF_PODS)}",
                    legend,
                )
                for name, legend in (("queue", "waits"), ("prefill", "is read"), ("decode", "is generated"))
            ),
            stacked=True,
        )
    )
    for title, description, histogram in (
        ("First token p95 by revision", "A new revision beside the old one.", FIRST_TOKEN),
        ("Between tokens p95 by revision", "A new revision beside the old one.", BETWEEN_TOKENS),
    ):
        by_revision = quantile(0.95, histogram, OF_PODS, REVISION)
        dashboard.with_panel(graph(title, description, SECONDS, Query(by_revision, NAMED)))


def _tokens(dashboard: Dashboard) -> None:
    read, known = (rate(f"vllm:prefix_cache_{name}_total", OF_PODS) for name in ("queries", "hits"))
    prompt, generated = (rate(f"vllm:{name}_tokens_total", OF_PODS) for name in ("prompt", "generation"))
    dashboard.with_row(row("Tokens")).with_panel(
        graph(
            "Tokens a second",
            "Of prompts that were read, and of answers.",
            TOKENS_A_SECOND,
            Query(prompt, "prompts"),
            Query(generated, "answers"),
        )
    ).with_panel(
        graph(
            "Tokens of a request",
            "The median of prompts and of answers.",
            NUMBER,
            *(
                Query(quantile(0.5, f"vllm:request_{name}_tokens", OF_PODS), legend)
                for name, legend in (("prompt", "prompt"), ("generation", "answer"))
            ),
        )
    ).with_panel(
        graph(
            "Prompts that were known",
            "Share of the prompts' tokens that an earlier request of the same caller had left.",
            SHARE,
            Query(f"{known} / {read}"),
        )
    ).with_panel(
        graph(
            "Ends",
            "stop: the text was complete. length: it reached its limit. abort: the client had gone.",
            PER_SECOND,
            Query(rate("vllm:request_success_total", OF_PODS, by="finished_reason"), "{{finished_reason}}"),
            stacked=True,
        )
    )


def _places(dashboard: Dashboard) -> None:
    dashboard.with_row(row("Pods")).with_panel(
        graph(
            "Running",
            "Requests that have a place.",
            NUMBER,
            Query(_of_pods("vllm:num_requests_running"), POD),
        )
    ).with_panel(
        graph(
            "Waiting",
            "Requests without a place: more pods, or more places (spec.generation.maxSequences).",
            NUMBER,
            Query(_of_pods("vllm:num_requests_waiting"), POD),
        )
    ).with_panel(
        graph(
            "Tokens in flight",
            "Of requests that wait or run: of their prompts, and those that were generated.",
            NUMBER,
            Query(_of_pods("modelservice_tokens_in_flight"), POD),
        )
    ).with_panel(
        graph(
            "Memory for keys and values",
            "Share of it that running requests fill.",
            SHARE,
            Query(_of_pods("vllm:kv_cache_usage_perc"), POD),
            levels=_FULL,
        )
    )
