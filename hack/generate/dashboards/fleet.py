"""The dashboard of all services: which ones need a person, which are busy, which change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from hack.generate.dashboards.board import RATE, board, query_variable
from hack.generate.dashboards.panels import (
    NUMBER,
    PER_SECOND,
    SECONDS,
    SHARE,
    Levels,
    Query,
    graph,
    listing,
    number,
    rate,
    row,
)

from modelservice_operator.facts.fleet import OVER

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

SCOPE = 'namespace=~"$namespace"'
SERVICE = "namespace, modelservice_dev_name"
NAMED = "{{namespace}}/{{modelservice_dev_name}}"
REQUESTS = f"rate(modelservice_request_duration_seconds_count{{{SCOPE}}}{RATE})"
FAILURES = f'rate(nv_inference_request_failure{{{SCOPE},reason=~"REJECTED|BACKEND"}}{RATE})'
TO_SERVICE = DashboardLink("Service").url(
    "/d/modelservice-service?${datasource:queryparam}&var-namespace=${__data.fields.namespace}"
    "&var-service=${__data.fields.name}&${__url_time_range}"
)
_ANY = Levels(warning=1, bad=5)


def fleet_dashboard() -> Dashboard:
    """All ModelServices of some namespaces."""
    dashboard = board("fleet", "ModelService / Fleet", "All ModelServices: who needs a person, who is busy.")
    dashboard.with_variable(
        query_variable("namespace", "Namespace", "label_values(modelservice_info, namespace)")
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )
    for part in (_summary, _attention, _rollouts, _busiest, _scaling):
        part(dashboard)
    return dashboard


def _count(selector: str) -> str:
    """How many services have a condition; 0 where there are others, nothing where there are none at all."""
    return f"count(modelservice_condition{{{SCOPE},{selector}}}) or 0 * count(modelservice_info{{{SCOPE}}})"


def _summary(dashboard: Dashboard) -> None:
    dashboard.with_panel(
        number("Services", "ModelServices.", NUMBER, Query(f"count(modelservice_info{{{SCOPE}}})"))
    ).with_panel(
        number(
            "Not ready",
            "Services that do not serve what their spec asks for.",
            NUMBER,
            Query(_count('condition="Ready",status!="True"')),
            levels=_ANY,
        )
    ).with_panel(
        number(
            "Degraded",
            "Services that need a person.",
            NUMBER,
            Query(_count('condition="Degraded",status="True"')),
            levels=_ANY,
        )
    ).with_panel(
        number(
            "Changing",
            "Services whose revisions are being replaced.",
            NUMBER,
            Query(
                f'count(modelservice_rollout_phase{{{SCOPE},phase!~"Complete|Aborted"}}) '
                f"or 0 * count(modelservice_info{{{SCOPE}}})"
            ),
        )
    ).with_panel(
        number("Requests", "Requests that ended, answered or failed.", PER_SECOND, Query(f"sum({REQUESTS})"))
    ).with_panel(
        number(
            "Errors",
            "Share of requests that failed by no fault of their client.",
            SHARE,
            Query(f"sum({FAILURES}) / sum({REQUESTS})"),
            levels=Levels(warning=0.01, bad=0.05),
        )
    )


def _attention(dashboard: Dashboard) -> None:
    dashboard.with_row(row("Who needs a person")).with_panel(
        listing(
            "Not ready",
            "With the reason; the messages are in `kubectl get modelservices`.",
            Query(f'modelservice_condition{{{SCOPE},condition="Ready",status!="True"}}'),
            *("namespace", "name", "status", "reason"),
        ).data_links([TO_SERVICE])
    ).with_panel(
        listing(
            "Changes under way",
            "Phase, and why it is paused or was aborted.",
            Query(f'modelservice_rollout_phase{{{SCOPE},phase!="Complete"}}'),
            *("namespace", "name", "phase", "reason"),
        ).data_links([TO_SERVICE])
    ).with_panel(
        graph(
            "Conditions",
            "Services by the reason of Ready.",
            NUMBER,
            Query(f'count by (reason) (modelservice_condition{{{SCOPE},condition="Ready"}})', "{{reason}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Errors",
            "The ten services with the largest share of failed requests.",
            SHARE,
            Query(f"topk(10, sum by ({SERVICE}) ({FAILURES}) / sum by ({SERVICE}) ({REQUESTS}))", NAMED),
        )
    ).with_panel(
        graph(
            "Latency p95",
            "The ten slowest services.",
            SECONDS,
            Query(
                "topk(10, histogram_quantile(0.95, sum by (le, " + SERVICE + ") "
                f"(rate(modelservice_request_duration_seconds_bucket{{{SCOPE}}}{RATE}))))",
                NAMED,
            ),
        )
    )


def _rollouts(dashboard: Dashboard) -> None:
    dashboard.with_row(row("Newer runtimes")).with_panel(
        listing(
            "RuntimeRollouts",
            "Those that are not over, and their phase; `modelservice fleet status` says more.",
            Query(f'modelservice_operator_runtime_rollout_phase{{phase!~"{"|".join(sorted(OVER))}"}} == 1'),
            *("rollout", "phase"),
            width=8,
        )
    ).with_panel(
        graph(
            "Members to come",
            "Those that have not started, and those that are on their way, there or back.",
            NUMBER,
            *(_members(state) for state in ("pending", "moving")),
        )
    ).with_panel(
        graph(
            "Members done",
            "Those that have the new image, and those that failed, whatever became of them then.",
            NUMBER,
            *(_members(state) for state in ("updated", "failed")),
        )
    )


def _members(state: str) -> Query:
    """Members of each RuntimeRollout in one state."""
    members = f'modelservice_operator_runtime_rollout_members{{state="{state}"}}'
    return Query(f"sum by (rollout) ({members})", f"{{{{rollout}}}} {state}")


def _busiest(dashboard: Dashboard) -> None:
    dashboard.with_row(row("Who is busy")).with_panel(
        graph(
            "Requests",
            "The ten services that are asked most.",
            PER_SECOND,
            Query(f"topk(10, sum by ({SERVICE}) ({REQUESTS}))", NAMED),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Requests by protocol",
            "Of all services.",
            PER_SECOND,
            Query(rate("modelservice_requests_total", SCOPE, by="protocol"), "{{protocol}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Waiting for a run",
            "The ten services whose requests wait longest (p95).",
            SECONDS,
            Query(
                "topk(10, histogram_quantile(0.95, sum by (le, " + SERVICE + ") "
                f"(rate(modelservice_request_queue_seconds_bucket{{{SCOPE}}}{RATE}))))",
                NAMED,
            ),
        )
    )


def _scaling(dashboard: Dashboard) -> None:
    wanted, most = (
        f"modelservice_replicas_wanted{{{SCOPE}}}",
        f"modelservice_autoscaling_replicas_max{{{SCOPE}}}",
    )
    dashboard.with_row(row("Pods, autoscaling and sleep")).with_panel(
        graph(
            "Pods",
            "Wanted, existing and ready ones, of all services.",
            NUMBER,
            *(
                Query(f"sum(modelservice_replicas_{name}{{{SCOPE}}})", name)
                for name in ("wanted", "existing", "ready")
            ),
        )
    ).with_panel(
        graph(
            "Services by autoscaling",
            "Those that have as many pods as they may, and those that have none.",
            NUMBER,
            Query(f"count({wanted} >= on (namespace, name) {most}) or 0 * count({wanted})", "at their most"),
            Query(f"count({wanted} == 0) or 0 * count({wanted})", "asleep or switched off"),
        )
    ).with_panel(
        graph(
            "Changes of pods",
            "Decisions of modelservice-autoscaler.",
            "ops",
            Query(rate("modelservice_autoscaler_decisions_total", by="direction"), "{{direction}}"),
        )
    ).with_panel(
        graph(
            "Held requests",
            "Requests that wait in the activator for a pod.",
            NUMBER,
            Query("sum(modelservice_activator_held_requests)", "held"),
        )
    ).with_panel(
        graph(
            "Cold starts",
            "From the wish for a pod to its readiness.",
            SECONDS,
            *(
                Query(
                    f"histogram_quantile({share}, sum by (le) "
                    f'(rate(modelservice_operator_cold_start_seconds_bucket{{phase="total"}}[1h])))',
                    said,
                )
                for share, said in ((0.5, "p50"), (0.95, "p95"))
            ),
        )
    ).with_panel(
        graph(
            "Where cold starts take their time",
            "The average by phase, of an hour.",
            SECONDS,
            Query(
                'sum by (phase) (rate(modelservice_operator_cold_start_seconds_sum{phase!="total"}[1h])) / '
                'sum by (phase) (rate(modelservice_operator_cold_start_seconds_count{phase!="total"}[1h]))',
                "{{phase}}",
            ),
            stacked=True,
        )
    )
