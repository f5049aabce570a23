"""What each alert fires on, as our processes export it, and what is nearly the same and no reason to."""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTES = 1500
GROWS, GROWS_SLOWLY, RESTS = f"0+600x{MINUTES}", f"0+60x{MINUTES}", f"7+0x{MINUTES}"
"""Values of a counter, minute by minute."""
OPERATOR = 'namespace="ops",pod="operator-0"'
SERVICE = 'namespace="mail",name="spam",pod="operator-0"'
POD = 'namespace="mail",modelservice_dev_name="spam",pod="spam-1"'
MODEL = f'{POD},model="m",version="1"'
TEXTS = f'{POD},model_name="m",engine="0"'
OF_INSTALLATION = {"namespace": "ops"}
OF_SERVICE = {"namespace": "mail", "name": "spam"}
OF_PODS = {"namespace": "mail", "modelservice_dev_name": "spam"}
OF_POD = {**OF_PODS, "pod": "spam-1"}


@dataclass(frozen=True)
class Case:
    """One alert; `labels` are those it has beside its name and severity."""

    name: str
    fires: dict[str, str]
    rests: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)


def always(value: float) -> str:
    """A gauge that stays."""
    return f"{value}+0x{MINUTES}"


def condition(kind: str, status: str, reason: str = "Because") -> dict[str, str]:
    """A condition of a service that wants a pod."""
    labels = f'{SERVICE},condition="{kind}",status="{status}",reason="{reason}"'
    return {f"modelservice_condition{{{labels}}}": always(1), **wanted(1)}


def wanted(number: int) -> dict[str, str]:
    return {f"modelservice_replicas_wanted{{{SERVICE}}}": always(number)}


def phase(name: str, reason: str = "") -> dict[str, str]:
    return {f'modelservice_rollout_phase{{{SERVICE},phase="{name}",reason="{reason}"}}': always(1)}


def bounds(pods: int, fewest: int, most: int) -> dict[str, str]:
    return {
        **wanted(pods),
        f"modelservice_autoscaling_replicas_min{{{SERVICE}}}": always(fewest),
        f"modelservice_autoscaling_replicas_max{{{SERVICE}}}": always(most),
    }


def failures(counts: str, reason: str = "BACKEND") -> dict[str, str]:
    """Failed ones among 600 requests a minute."""
    return {
        f'nv_inference_request_failure{{{MODEL},reason="{reason}"}}': counts,
        f"modelservice_request_duration_seconds_count{{{MODEL}}}": GROWS,
    }


def histogram(name: str, labels: str, low: str, high: str, *, is_long: bool) -> dict[str, str]:
    """Everything takes between the two bounds, or less than the first."""
    return {
        f'{name}_bucket{{{labels},le="{low}"}}': RESTS if is_long else GROWS,
        f'{name}_bucket{{{labels},le="{high}"}}': GROWS,
        f'{name}_bucket{{{labels},le="+Inf"}}': GROWS,
    }


def api(code: str, counts: str, process: str = "activator", resource: str = "leases") -> dict[str, str]:
    labels = f'{OPERATOR},method="GET",resource="{resource}",code="{code}"'
    return {f"modelservice_{process}_api_requests_total{{{labels}}}": counts}


def queue(depth: int, leads: int, reconciled: str) -> dict[str, str]:
    return {
        f"modelservice_operator_queue_depth{{{OPERATOR}}}": always(depth),
        f"modelservice_operator_leader{{{OPERATOR}}}": always(leads),
        f'modelservice_operator_reconcile_total{{{OPERATOR},result="ok"}}': reconciled,
        f'modelservice_operator_reconcile_total{{{OPERATOR},result="error"}}': RESTS,
    }


def of_operator(name: str, value: str, labels: str = "") -> dict[str, str]:
    more = f",{labels}" if labels else ""
    return {f"modelservice_{name}{{{OPERATOR}{more}}}": value}


def fleet(phase: str, value: float = 1) -> dict[str, str]:
    """A RuntimeRollout in this phase, or not."""
    return of_operator("operator_runtime_rollout_phase", always(value), f'rollout="cve",phase="{phase}"')


def memory(used: float) -> dict[str, str]:
    return {
        f"modelservice_memory_working_set_bytes{{{POD}}}": always(used),
        f"modelservice_memory_limit_bytes{{{POD}}}": always(100),
    }


def nonfinite(counts: str) -> dict[str, str]:
    return {
        f"modelservice_nonfinite_responses_total{{{MODEL}}}": counts,
        f"nv_inference_request_success{{{MODEL}}}": GROWS,
    }


def looks(ok: str, silent: str) -> dict[str, str]:
    return {
        **of_operator("autoscaler_looks_total", ok, 'result="ok"'),
        **of_operator("autoscaler_looks_total", silent, 'result="silent"'),
    }


_BUILD = of_operator("operator_build_info", always(1), 'version="0.1.0",python="3.12"')
_WAIT = ("modelservice_operator_queue_duration_seconds", OPERATOR, "5", "60")
_DURATION = ("modelservice_request_duration_seconds", MODEL, "0.5", "2.0")
_REFUSED, _PASSED = 'protocol="http1",outcome="refused"', 'protocol="http1",outcome="passed"'
_PORT = 'name="spam",port="20001"'

CASES = (
    Case("ModelServiceOperatorDown", {}, _BUILD),
    Case(
        "ModelServiceOperatorNoLeader",
        of_operator("operator_leader", always(0)),
        of_operator("operator_leader", always(1)),
        OF_INSTALLATION,
    ),
    # A standby's queue fills, and nobody takes from it.
    Case(
        "ModelServiceOperatorQueueStuck",
        queue(3, 1, RESTS),
        queue(3, 0, RESTS),
        {**OF_INSTALLATION, "pod": "operator-0"},
    ),
    Case(
        "ModelServiceOperatorQueueSlow",
        histogram(*_WAIT, is_long=True),
        histogram(*_WAIT, is_long=False),
        OF_INSTALLATION,
    ),
    Case(
        "ModelServiceOperatorReconcileErrors",
        of_operator("operator_reconcile_total", GROWS, 'result="error"'),
        of_operator("operator_reconcile_total", GROWS, 'result="retry"'),
        OF_INSTALLATION,
    ),
    Case(
        "ModelServiceApiErrors",
        {**api("200", GROWS), **api("503", GROWS_SLOWLY)},
        {**api("200", GROWS), **api("409", GROWS_SLOWLY)},
        {**OF_INSTALLATION, "pod": "operator-0"},
    ),
    # Rights that are left out on purpose: the operator asks for nodes once and then no more.
    Case(
        "ModelServiceApiForbidden",
        api("403", GROWS, "operator", "modelservices"),
        api("403", RESTS, "operator", "nodes"),
        {**OF_INSTALLATION, "pod": "operator-0"},
    ),
    Case(
        "ModelServiceStatesNotTold",
        of_operator("operator_unreported_services", always(2)),
        of_operator("operator_unreported_services", always(0)),
        OF_INSTALLATION,
    ),
    # Nobody answers for a service that sleeps, and nobody should.
    Case(
        "ModelServiceUnavailable",
        condition("Available", "False"),
        {**condition("Available", "False", "ScaledToZero"), **wanted(0)},
        OF_SERVICE,
    ),
    Case("ModelServiceNotReady", condition("Ready", "Unknown"), condition("Ready", "True"), OF_SERVICE),
    Case("ModelServiceDegraded", condition("Degraded", "True"), condition("Degraded", "False"), OF_SERVICE),
    Case("ModelServiceRolloutStalled", phase("Verifying"), phase("Paused", "PauseStep"), OF_SERVICE),
    Case(
        "ModelServiceRolloutAborted",
        phase("Aborted", "AnalysisFailed"),
        phase("Complete"),
        {**OF_SERVICE, "reason": "AnalysisFailed"},
    ),
    Case(
        "ModelServiceRolloutInconclusive",
        phase("Paused", "Inconclusive"),
        phase("Paused", "PauseStep"),
        OF_SERVICE,
    ),
    Case(
        "ModelServiceRolloutWaiting",
        phase("Paused", "AwaitingPromotion"),
        phase("Paused", "Preview"),
        OF_SERVICE,
    ),
    Case(
        "ModelServiceFleetHalted",
        fleet("Halted"),
        {**fleet("Progressing"), **fleet("Halted", 0)},
        {"rollout": "cve"},
    ),
    Case("ModelServiceFleetWaiting", fleet("AwaitingApproval"), fleet("AwaitingWindow"), {"rollout": "cve"}),
    Case("ModelServiceErrorsFast", failures(GROWS_SLOWLY), failures(GROWS_SLOWLY, "OTHER"), OF_PODS),
    Case("ModelServiceErrorsSlow", failures(GROWS_SLOWLY, "REJECTED"), failures(RESTS), OF_PODS),
    Case(
        "ModelServiceLatencyHigh",
        histogram(*_DURATION, is_long=True),
        # Texts take as long as they are.
        {
            **histogram(*_DURATION, is_long=False),
            **histogram(_DURATION[0], _DURATION[1].replace("spam", "chat"), *_DURATION[2:], is_long=True),
            f"vllm:num_requests_running{{{TEXTS.replace('spam', 'chat')}}}": always(1),
        },
        OF_PODS,
    ),
    *(
        Case(name, histogram(*times, is_long=True), histogram(*times, is_long=False), OF_PODS)
        for name, times in (
            (
                "ModelServiceFirstTokenSlow",
                ("vllm:time_to_first_token_seconds", TEXTS, "5.0", "40.0"),
            ),
            (
                "ModelServiceTokensSlow",
                ("vllm:inter_token_latency_seconds", TEXTS, "0.5", "5.0"),
            ),
        )
    ),
    Case("ModelServiceNonFiniteAnswers", nonfinite(GROWS_SLOWLY), nonfinite(RESTS), OF_PODS),
    Case("ModelServiceMemoryNearLimit", memory(95), memory(80), OF_POD),
    Case(
        "ModelServiceFileRefused",
        {f'modelservice_file_refused{{{POD},file="tls"}}': always(1)},
        {f'modelservice_file_refused{{{POD},file="tls"}}': always(0)},
        {**OF_PODS, "file": "tls"},
    ),
    Case(
        "ModelServiceWorkersRestart",
        {f"modelservice_worker_restarts_total{{{POD}}}": f"0+1x{MINUTES}"},
        {f"modelservice_worker_restarts_total{{{POD}}}": RESTS},
        OF_POD,
    ),
    Case(
        "ModelServiceAutoscalingWithoutData",
        condition("AutoscalingActive", "True", "DataMissing"),
        condition("AutoscalingActive", "False", "SwitchedOff"),
        OF_SERVICE,
    ),
    # Bounds that leave no choice are no shortage.
    Case("ModelServiceAtMaxReplicas", bounds(4, 1, 4), bounds(4, 4, 4), OF_SERVICE),
    Case(
        "ModelServiceAutoscalerNoLeader",
        of_operator("autoscaler_leader", always(0)),
        of_operator("autoscaler_leader", always(1)),
        OF_INSTALLATION,
    ),
    Case("ModelServicePodsSilent", looks(GROWS, GROWS), looks(GROWS, GROWS_SLOWLY), OF_INSTALLATION),
    Case(
        "ModelServiceAutoscalerBroken",
        of_operator("autoscaler_broken_turns_total", GROWS_SLOWLY),
        of_operator("autoscaler_broken_turns_total", RESTS),
        OF_INSTALLATION,
    ),
    Case(
        "ModelServiceActivatorHoldsLong",
        of_operator("activator_held_requests", always(3)),
        of_operator("activator_held_requests", f"0 3 0 2 1 0x{MINUTES}"),
        OF_INSTALLATION,
    ),
    Case(
        "ModelServiceActivatorFailsRequests",
        of_operator("activator_requests_total", GROWS, _REFUSED),
        of_operator("activator_requests_total", GROWS, _PASSED),
        {**OF_INSTALLATION, "outcome": "refused"},
    ),
    Case(
        "ModelServiceActivatorPortTaken",
        {f'modelservice_activator_taken_ports{{namespace="mail",{_PORT}}}': always(1)},
        {},
        {**OF_SERVICE, "port": "20001"},
    ),
    Case(
        "ModelServiceActivatorTurnsAway",
        of_operator("activator_connections_turned_away_total", GROWS),
        of_operator("activator_connections_turned_away_total", RESTS),
        OF_INSTALLATION,
    ),
)
