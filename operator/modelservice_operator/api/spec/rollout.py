"""`spec.rollout`: how a new revision replaces the old one, step by step, and what it has to show."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.alias_generators import to_snake

from modelservice_operator.api.spec.accelerator import Switch
from modelservice_operator.api.spec.analysis import OF_TEXTS, Analysis, PrometheusSource
from modelservice_operator.api.spec.evaluation import Evaluation
from modelservice_operator.api.types.base import ApiModel, IntOrPercent, between
from modelservice_operator.api.types.rules import Rule


class Pause(ApiModel):
    """A stop between two steps."""

    duration_seconds: Annotated[int, between(1, 604_800)] | None = None
    """How long. Default: until somebody says `resume` or `promote`."""


class CanaryStep(ApiModel):
    """One step: exactly one of the fields."""

    set_weight: Annotated[int, between(0, 100)] | None = None
    """Percent of the traffic that the new revision gets from here on."""
    pause: Pause | None = None
    """Waits: {} for a person, {durationSeconds: 60} for a while."""
    analysis: Analysis | None = None
    """Compares the new revision with the old one, and stops the rollout where it does worse. {} takes the
    defaults."""

    rules = (
        Rule(
            cel="[has(self.setWeight), has(self.pause), has(self.analysis)].filter(one, one).size() == 1",
            message="expected exactly one of setWeight, pause and analysis",
            check=lambda self: (self.set_weight, self.pause, self.analysis).count(None) == 2,
        ),
    )


class Canary(ApiModel):
    """A change by steps: some of the traffic first, more when that goes well."""

    steps: Annotated[tuple[CanaryStep, ...], Field(min_length=1, max_length=32)]
    """What happens one after the other. After the last step the new revision gets all traffic."""


class BlueGreen(ApiModel):
    """A whole second set of pods, and one switch."""

    auto_promote: Switch = True
    """Whether the switch happens on its own, once all new pods are available. Otherwise somebody says
    `promote`. Default: true."""
    preview_seconds: Annotated[int, between(0, 604_800)] = 0
    """How long the new pods stay behind the preview Service first. Default: 0."""
    scale_down_delay_seconds: Annotated[int, between(0, 604_800)] = 30
    """How long the old pods stay after the switch. Default: 30."""

    rules = (
        Rule(
            cel="!has(self.previewSeconds) || !has(self.autoPromote) || self.autoPromote",
            message="a switch by a person has no time of its own: leave previewSeconds out, or autoPromote",
            check=lambda self: self.auto_promote or "preview_seconds" not in self.model_fields_set,
            field_path=".previewSeconds",
        ),
    )


def _is_zero(value: int | str) -> bool:
    return value in (0, "0%")


def _zero_cel(field: str, default: str) -> str:
    return f"(has(self.{field}) ? string(self.{field}) in ['0', '0%'] : {default})"


def _not_with_a_whole_set(field: str) -> Rule:
    attribute = to_snake(field)
    return Rule(
        cel=f"!has(self.{field}) || !has(self.strategy) || self.strategy in ['RollingUpdate', 'Canary']",
        message=(
            "Recreate stops all old pods first, BlueGreen starts as many new ones: leave this out, or set "
            "strategy to RollingUpdate or Canary"
        ),
        check=lambda self: (
            self.strategy in ("RollingUpdate", "Canary") or attribute not in self.model_fields_set
        ),
        field_path=f".{field}",
    )


class Rollout(ApiModel):
    """How a new revision replaces the old one."""

    strategy: Literal["RollingUpdate", "Recreate", "Canary", "BlueGreen"] = "RollingUpdate"
    """RollingUpdate replaces pod by pod. Recreate starts new pods when all old ones are gone: nothing answers
    meanwhile. Canary goes by the steps of spec.rollout.canary. BlueGreen starts all new pods, then switches.
    Default: RollingUpdate."""
    canary: Canary | None = None
    """The steps of a Canary."""
    blue_green: BlueGreen | None = None
    """Options of BlueGreen."""
    max_surge: IntOrPercent = 1
    """Pods above the wanted number, a count or a percentage (rounded up). Default: 1."""
    max_unavailable: IntOrPercent = 0
    """Pods below the wanted number, a count or a percentage (rounded down). Default: 0."""
    evaluation: Evaluation | None = None
    """What a new revision, also the first one, has to show on a data set before it gets a pod, or it is
    aborted."""
    contract: Literal["Enforce", "Warn", "Ignore"] = "Enforce"
    """What becomes of a new revision whose inputs and outputs are not those that clients of the old one use.
    Enforce: it gets no traffic and is aborted. Warn: an Event says it. Default: Enforce."""
    prometheus: PrometheusSource | None = None
    """Where analyses read metrics. Default: from the pods themselves."""
    rollback_window_seconds: Annotated[int, between(0, 86_400)] = 0
    """How long the metrics of the last analysis are watched after the change is complete. Where they are
    worse than they might be, the old revision comes back. Default: 0."""
    capacity_policy: Literal["Auto", "Wait"] = "Auto"
    """Where the cluster has no room for a pod of the surge: Auto does without it, so a pod may be missing for
    a while; Wait waits until the deadline. Default: Auto."""
    surge_probe_seconds: Annotated[int, between(0, 3600)] = 30
    """How long such a pod may find no room before Auto does without it, unless a cluster autoscaler says that
    it makes room. Default: 30."""
    allow_downtime: Switch = False
    """Whether Auto may stop the only pod that serves before the new one starts. Default: false."""
    progress_deadline_seconds: Annotated[int, between(1, 86_400)] = 600
    """How long a revision may make no progress before it is given up. Default: 600."""
    revision_history_limit: Annotated[int, between(0, 100)] = 10
    """Old revisions that are kept, for rollbacks. Default: 10."""

    rules = (
        Rule(
            cel=f"!({_zero_cel('maxSurge', 'false')} && {_zero_cel('maxUnavailable', 'true')})",
            message="maxSurge and maxUnavailable (default 0) must not both be 0: no pod could be replaced",
            check=lambda self: not (_is_zero(self.max_surge) and _is_zero(self.max_unavailable)),
            field_path=".maxSurge",
        ),
        *(_not_with_a_whole_set(field) for field in ("maxSurge", "maxUnavailable")),
        Rule(
            cel="(has(self.strategy) && self.strategy == 'Canary') == has(self.canary)",
            message="strategy Canary needs canary.steps, and only it takes them",
            check=lambda self: (self.strategy == "Canary") == (self.canary is not None),
            field_path=".canary",
        ),
        Rule(
            cel="!has(self.blueGreen) || (has(self.strategy) && self.strategy == 'BlueGreen')",
            message="only strategy BlueGreen takes this",
            check=lambda self: self.blue_green is None or self.strategy == "BlueGreen",
            field_path=".blueGreen",
        ),
        Rule(
            cel=(
                "!has(self.rollbackWindowSeconds) || self.rollbackWindowSeconds == 0 || "
                "(has(self.canary) && self.canary.steps.exists(one, has(one.analysis)))"
            ),
            message="nothing says what to watch: add an analysis to canary.steps, or leave this out",
            check=lambda self: self.rollback_window_seconds == 0 or self.last_analysis is not None,
            field_path=".rollbackWindowSeconds",
        ),
        Rule(
            cel=(
                "has(self.prometheus) || !has(self.canary) || !self.canary.steps.exists(one, "
                "has(one.analysis) && has(one.analysis.metrics) && "
                "one.analysis.metrics.exists(metric, metric.type == 'Prometheus'))"
            ),
            message="a metric of type Prometheus needs to know where that is: set its url",
            check=lambda self: self.prometheus is not None or not self.asks_prometheus,
            field_path=".prometheus",
        ),
    )

    @property
    def last_analysis(self) -> Analysis | None:
        """The last analysis of the steps."""
        return next(reversed(self._analyses), None)

    @property
    def asks_prometheus(self) -> bool:
        """Whether a metric is one that only Prometheus can tell."""
        return any(metric.type == "Prometheus" for one in self._analyses for metric in one.metrics)

    @property
    def asks_for_texts(self) -> bool:
        """Whether a metric is one that only a model has that generates text."""
        return any(metric.type in OF_TEXTS for one in self._analyses for metric in one.metrics)

    @property
    def _analyses(self) -> list[Analysis]:
        steps = self.canary.steps if self.canary else ()
        return [step.analysis for step in steps if step.analysis is not None]


METRICS_OF_TEXTS_RULE = Rule(
    cel=(
        "has(self.generation) || !has(self.rollout) || !has(self.rollout.canary)"
        " || !self.rollout.canary.steps.exists(one, has(one.analysis) && has(one.analysis.metrics)"
        " && one.analysis.metrics.exists(metric, metric.type.startsWith('TimeToFirstToken')"
        " || metric.type.startsWith('InterTokenLatency')))"
    ),
    message=(
        "metrics TimeToFirstToken and InterTokenLatency need spec.generation: only models that generate text "
        "have them"
    ),
    check=lambda self: self.generation is not None or not self.rollout.asks_for_texts,
    field_path=".rollout",
)
"""A rule of specs: whose tokens are timed generates some."""
