"""Panels in few words: what is shown, in which unit, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from hack.generate.dashboards.board import SOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping

HEIGHT = 7
SECONDS, PER_SECOND, SHARE, BYTES, NUMBER = "s", "reqps", "percentunit", "bytes", "short"
_LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Query:
    """What Prometheus is asked, and what a line of the answer is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Levels:
    """From where on a value is a warning, and from where on bad; the other way round if `falling`."""

    warning: float
    bad: float
    falling: bool = False

    def build(self) -> dashboard.ThresholdsConfig:
        """As Grafana takes them: a color from each value on, the first one from the least."""
        steps = [
            Threshold(value=None, color="red" if self.falling else "green"),
            Threshold(value=self.bad if self.falling else self.warning, color="orange"),
            Threshold(
                value=self.warning if self.falling else self.bad, color="green" if self.falling else "red"
            ),
        ]
        return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def row(title: str) -> dashboard.Row:
    """A heading."""
    return dashboard.Row(title)


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    levels: Levels | None = None,
    stacked: bool = False,
) -> timeseries.Panel:
    """Lines over time; a third of the width."""
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .datasource(SOURCE)
        .height(HEIGHT)
        .span(8)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .fill_opacity(30 if stacked else 5)
        .show_points(VisibilityMode.NEVER)
        .line_width(1)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if levels is not None:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel.thresholds(levels.build()).thresholds_style(style)
    for letter, query in zip(_LETTERS, queries, strict=False):
        panel.with_target(_target(query).ref_id(letter))
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    levels: Levels | None = None,
    words: Mapping[int, tuple[str, str]] | None = None,
    width: int = 4,
) -> stat.Panel:
    """One value in large letters; `words` are said instead of numbers, each in a color."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .height(4)
        .span(width)
        .graph_mode(BigValueGraphMode.NONE if words else BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(_target(query).ref_id("A"))
    )
    if levels is not None:
        panel.thresholds(levels.build())
    if words is not None:
        said = {
            str(value): ValueMappingResult(text=text, color=color) for value, (text, color) in words.items()
        }
        panel.mappings([ValueMap(options=said)])
    return panel


def listing(title: str, description: str, query: Query, *columns: str, width: int = 12) -> table.Panel:
    """What holds now, one line each, with these labels as columns."""
    kept: dict[str, object] = {"include": {"names": list(columns)}}
    ordered: dict[str, object] = {"indexByName": {name: place for place, name in enumerate(columns)}}
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(HEIGHT)
        .span(width)
        .with_target(_target(query).ref_id("A").instant().format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig(id_val="filterFieldsByName", options=kept))
        .with_transformation(DataTransformerConfig(id_val="organize", options=ordered))
    )


def rate(metric: str, selector: str = "", *, by: str = "") -> str:
    """PromQL of how fast a counter counts, summed up by these labels."""
    labels = f" by ({by})" if by else ""
    return f"sum{labels} (rate({metric}{_braced(selector)}[$__rate_interval]))"


def quantile(share: float, histogram: str, selector: str, *by: str) -> str:
    """PromQL of a quantile of a histogram's rate."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', selector, by=labels)})"


def quantiles(histogram: str, selector: str) -> tuple[Query, ...]:
    """The median and what one of twenty and one of a hundred exceeds."""
    return tuple(
        Query(quantile(share, histogram, selector), legend)
        for share, legend in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def _braced(selector: str) -> str:
    return f"{{{selector}}}" if selector else ""


def _target(query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).datasource(SOURCE)
    return target.legend_format(query.legend) if query.legend else target
