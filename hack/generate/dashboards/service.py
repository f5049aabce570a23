"""The dashboard of one service: is it ready, who asks it, where does the time go, what changes."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard
from hack.generate.dashboards.board import OF_PODS, OF_SERVICE, RATE, SOURCE, board, query_variable
from hack.generate.dashboards.panels import (
    BYTES,
    NUMBER,
    PER_SECOND,
    SECONDS,
    SHARE,
    Levels,
    Query,
    graph,
    listing,
    number,
    quantile,
    quantiles,
    rate,
    row,
)

DURATION = "modelservice_request_duration_seconds"
REQUESTS = f"rate({DURATION}_count{{{OF_PODS}}}{RATE})"
FAILURES = f'rate(nv_inference_request_failure{{{OF_PODS},reason=~"REJECTED|BACKEND"}}{RATE})'
"""Requests that failed by no fault of their client."""
REVISION = "modelservice_dev_revision"
NAMED = "{{modelservice_dev_revision}}"
IN_FLIGHT = rate("modelservice_in_flight_seconds_total", OF_PODS)
READY = f'modelservice_condition{{{OF_SERVICE},condition="Ready",status="True"}}'
SHARE_OF_ERRORS = "Share of requests that failed by no fault of their client: no room, no time, or the model."
_ERRORS = Levels(warning=0.01, bad=0.05)
_NAMES = "label_values(modelservice_info, namespace)"
_SERVICES = 'label_values(modelservice_info{namespace="$namespace"}, name)'
_STEPS = {
    "waits": "queue",
    "is decoded": "compute_input",
    "runs": "compute_infer",
    "is encoded": "compute_output",
}


def service_dashboard() -> Dashboard:
    """Everything about one ModelService."""
    description = "One ModelService: its requests, pods and changes."
    dashboard = (
        board("service", "ModelService / Service", description)
        .with_variable(query_variable("namespace", "Namespace", _NAMES))
        .with_variable(query_variable("service", "Service", _SERVICES))
        .annotation(
            AnnotationQuery()
            .name("Rollouts")
            .datasource(SOURCE)
            .enable(True)
            .icon_color("blue")
            .expr(f'modelservice_rollout_phase{{{OF_SERVICE},phase!="Complete"}}')
        )
    )
    for part in (_summary, _requests, _time, _changes, _pods):
        part(dashboard)
    return dashboard


def _summary(dashboard: Dashboard) -> None:
    errors = f"sum({FAILURES}) / sum({REQUESTS})"
    pods = f"sum(modelservice_replicas_ready{{{OF_SERVICE}}})"
    for panel in (
        number(
            "Ready",
            "Whether the operator says that it serves what its spec asks for.",
            NUMBER,
            Query(f"count({READY}) or 0 * count(modelservice_info{{{OF_SERVICE}}})"),
            words={1: ("Ready", "green"), 0: ("Not ready", "red")},
        ),
        number("Pods ready", "Ready pods, of all revisions.", NUMBER, Query(pods)),
        number("Requests", "Those that ended, answered or failed.", PER_SECOND, Query(f"sum({REQUESTS})")),
        number("Errors", SHARE_OF_ERRORS, SHARE, Query(errors), levels=_ERRORS),
        number(
            "Latency p99", "One of a hundred takes longer.", SECONDS, Query(quantile(0.99, DURATION, OF_PODS))
        ),
        number("In flight", "Requests that wait or run, on average.", NUMBER, Query(IN_FLIGHT)),
    ):
        dashboard.with_panel(panel)
    dashboard.with_panel(
        listing(
            "Conditions",
            "What the operator says of it; the messages are in `kubectl describe`.",
            Query(f"modelservice_condition{{{OF_SERVICE}}}"),
            *("condition", "status", "reason"),
        )
    ).with_panel(
        listing(
            "Revisions",
            "Which revision serves, and which one the spec asks for.",
            Query(f"modelservice_info{{{OF_SERVICE}}}"),
            *("stable_revision", "target_revision", "model_version", "runtime"),
        )
    )


def _requests(dashboard: Dashboard) -> None:
    by_revision = f"sum by ({REVISION})"
    dashboard.with_row(row("Requests")).with_panel(
        graph(
            "Requests by protocol",
            "Requests that ended, answered or failed, by how they came.",
            PER_SECOND,
            Query(rate("modelservice_requests_total", OF_PODS, by="protocol"), "{{protocol}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Failures by reason",
            "REJECTED: no room or no time. BACKEND: the model or its device. CANCELED: the client had gone. "
            "OTHER: the request was wrong.",
            PER_SECOND,
            Query(rate("nv_inference_request_failure", OF_PODS, by="reason"), "{{reason}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Latency",
            "From a request's last byte to its answer.",
            SECONDS,
            *quantiles(DURATION, OF_PODS),
        )
    ).with_panel(
        graph(
            "Requests by revision",
            "How the traffic is split.",
            PER_SECOND,
            Query(f"{by_revision} ({REQUESTS})", NAMED),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Errors by revision",
            SHARE_OF_ERRORS,
            SHARE,
            Query(f"{by_revision} ({FAILURES}) / {by_revision} ({REQUESTS})", NAMED),
            levels=_ERRORS,
        )
    ).with_panel(
        graph(
            "Latency p95 by revision",
            "What a new revision costs its clients.",
            SECONDS,
            Query(quantile(0.95, DURATION, OF_PODS, REVISION), NAMED),
        )
    )


def _time(dashboard: Dashboard) -> None:
    answered = rate("nv_inference_request_success", OF_PODS)
    runs = rate("nv_inference_exec_count", OF_PODS)
    nonfinite = rate("modelservice_nonfinite_responses_total", OF_PODS)
    spent = {said: rate(f"nv_inference_{name}_duration_us", OF_PODS) for said, name in _STEPS.items()}
    dashboard.with_row(row("Queue and batches")).with_panel(
        graph(
            "Where the time goes",
            "Average of answered requests.",
            SECONDS,
            *(Query(f"{microseconds} / {answered} / 1e6", said) for said, microseconds in spent.items()),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Waiting for a run",
            "Of all requests, also those that gave up.",
            SECONDS,
            *quantiles("modelservice_request_queue_seconds", OF_PODS),
        )
    ).with_panel(
        graph(
            "Requests in flight",
            "Those that wait and those that run at the moment of a scrape, and all of them on average.",
            NUMBER,
            Query(f"sum(modelservice_requests_waiting{{{OF_PODS}}})", "wait"),
            Query(f"sum(modelservice_requests_running{{{OF_PODS}}})", "run"),
            Query(IN_FLIGHT, "on average"),
        )
    ).with_panel(
        graph(
            "Rows in a run",
            "How many rows share a run of the model, and how many may.",
            NUMBER,
            Query(f"{rate('nv_inference_count', OF_PODS)} / {runs}", "on average"),
            Query(f"max(modelservice_max_batch_size{{{OF_PODS}}})", "most"),
        )
    ).with_panel(
        graph("Runs of the model", "A run serves all rows that were joined.", "ops", Query(runs, "runs"))
    ).with_panel(
        graph(
            "Answers without a number",
            "Share of answers with NaN or an infinity in an output.",
            SHARE,
            Query(f"{nonfinite} / {answered}", "NaN"),
            levels=Levels(warning=0.001, bad=0.01),
        )
    )


def _changes(dashboard: Dashboard) -> None:
    dashboard.with_row(row("Rollout and autoscaling")).with_panel(
        graph(
            "Weight of the new revision",
            "What it should get of the traffic, and what each revision does get of the requests.",
            SHARE,
            Query(f"max(modelservice_rollout_weight_ratio{{{OF_SERVICE}}})", "should"),
            Query(f"sum by ({REVISION}) ({REQUESTS}) / scalar(sum({REQUESTS}))", NAMED),
        )
    ).with_panel(
        graph(
            "Steps",
            "The step that goes on, from 0, and how many there are.",
            NUMBER,
            Query(f"max(modelservice_rollout_step{{{OF_SERVICE}}})", "step"),
            Query(f"max(modelservice_rollout_steps{{{OF_SERVICE}}})", "steps"),
        )
    ).with_panel(
        listing(
            "Phase",
            "How far the change is, and why it is paused or was aborted.",
            Query(f"modelservice_rollout_phase{{{OF_SERVICE}}}"),
            *("phase", "reason"),
            width=8,
        )
    ).with_panel(
        graph(
            "Pods",
            "Wanted, existing and ready ones.",
            NUMBER,
            *(
                Query(f"sum(modelservice_replicas_{name}{{{OF_SERVICE}}})", name)
                for name in ("wanted", "existing", "ready")
            ),
        )
    ).with_panel(
        graph(
            "Autoscaling",
            "What it may do, and what it does.",
            NUMBER,
            Query(f"max(modelservice_autoscaling_replicas_min{{{OF_SERVICE}}})", "fewest"),
            Query(f"max(modelservice_autoscaling_replicas_max{{{OF_SERVICE}}})", "most"),
            Query(f"max(modelservice_autoscaling_replicas_desired{{{OF_SERVICE}}})", "decided"),
            Query(f"sum(modelservice_replicas_ready{{{OF_SERVICE}}})", "ready"),
        )
    ).with_panel(
        listing(
            "Decision",
            "Who decides on pods, what limits it, and whether it lacks data.",
            Query(
                f"modelservice_autoscaling_info{{{OF_SERVICE}}} * on (namespace, name) "
                f"group_left (limit, missing) modelservice_autoscaling_decision_info{{{OF_SERVICE}}}"
            ),
            *("engine", "limit", "missing"),
            width=8,
        )
    )


def _pods(dashboard: Dashboard) -> None:
    used = f"sum by (pod) (modelservice_memory_working_set_bytes{{{OF_PODS}}})"
    dashboard.with_row(row("Pods")).with_panel(
        graph(
            "Requests by pod",
            "Whether all pods get their share.",
            PER_SECOND,
            Query(f"sum by (pod) ({REQUESTS})", "{{pod}}"),
        )
    ).with_panel(
        graph(
            "CPU", "In cores.", NUMBER, Query(rate("process_cpu_seconds_total", OF_PODS, by="pod"), "{{pod}}")
        )
    ).with_panel(
        graph(
            "Memory",
            "What a pod uses, as the kubelet counts it, and its limit where there is one.",
            BYTES,
            Query(used, "{{pod}}"),
            Query(f"min(modelservice_memory_limit_bytes{{{OF_PODS}}})", "limit"),
        )
    )
