"""Whatever an operator of another version has written: it is shown, within its terminal, without a crash."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.unit.cli.rollout.statuses import CANARY, NEW, OLD, STEPS, at, facts_with
from tests.unit.operator.builders import NOW

from modelservice_cli.rollout.progress.live import draw
from modelservice_cli.rollout.progress.status import rollout_status
from modelservice_cli.rollout.progress.text import status_line, status_report
from modelservice_cli.rollout.report import as_text

TEXTS = st.text(max_size=40)
TIMES = st.one_of(st.integers(-100, 100_000).map(at), st.just(""), TEXTS)
NUMBERS = st.one_of(
    st.none(),
    st.sampled_from(["0", "0.001", "NaN", "+Inf", "200m", "1e30", "-1", "x" * 32]),
    st.floats().map(lambda value: f"{value}"),
)
VERDICTS = st.fixed_dictionaries(
    {
        "gate": st.sampled_from(["Contract", "Analysis", "RollbackWindow", "Dataset"]),
        "result": st.sampled_from(["Passed", "Failed", "Inconclusive"]),
        "time": TIMES,
    },
    optional={
        "metric": st.sampled_from(["ErrorRatio", "LatencyP99", "LatencyP95", "Prometheus[3]", "New"]),
        "value": NUMBERS,
        "stable": NUMBERS,
        "threshold": NUMBERS,
        "requests": st.integers(0, 10**9),
        "message": TEXTS,
    },
)
COUNTS = st.integers(0, 9)
ROLLOUTS = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.sampled_from(["RollingUpdate", "Recreate", "Canary", "BlueGreen", "New"]),
        "phase": st.sampled_from(
            ["Progressing", "Verifying", "Paused", "Promoting", "Complete", "Aborted", "X"]
        ),
        "revision": st.sampled_from([OLD, NEW, "other"]),
        "weight": st.integers(0, 100),
        "step": st.integers(0, len(STEPS) + 2),
        "steps": st.integers(0, len(STEPS) + 1),
        "stepSince": TIMES,
        "paused": st.sampled_from(
            ["PauseStep", "Requested", "Inconclusive", "AwaitingPromotion", "Preview", "X"]
        ),
        "pausedSince": TIMES,
        "promoted": st.booleans(),
        "skipsSteps": st.booleans(),
        "contract": st.sampled_from(["Passed", "Failed", "Unknown"]),
        "analysis": st.fixed_dictionaries({}, optional={"measured": COUNTS, "failed": COUNTS, "run": TEXTS}),
        "verdicts": st.lists(VERDICTS, max_size=24),
        "reason": TEXTS,
        "message": TEXTS,
        "previousRevision": st.sampled_from([OLD, NEW, "other"]),
        "promotedAt": TIMES,
        "capacity": st.just({"revision": NEW}),
    },
)
SPECS = st.sampled_from(
    [
        {},
        CANARY,
        {"strategy": "BlueGreen", "blueGreen": {"previewSeconds": 5}},
        {"strategy": "Nonsense"},
        {"strategy": "Canary", "canary": {"steps": [{}]}},
        {"canary": 7},
    ]
)


@settings(max_examples=60, deadline=None)
@given(ROLLOUTS, SPECS, st.sampled_from([None, OLD, NEW]), st.integers(0, 2))
def test_any_status_is_shown(
    change: dict[str, Any], spec: dict[str, Any], stable: str | None, generation: int
) -> None:
    facts = facts_with(change, spec=spec, stableRevision=stable, observedGeneration=generation)
    status = rollout_status(facts)
    console = Console(width=80, file=io.StringIO())
    console.print(draw(status, NOW, status.verdicts))
    assert isinstance(console.file, io.StringIO)
    # The view keeps the words of a step together.
    drawn = console.file.getvalue().replace("\N{NO-BREAK SPACE}", " ")
    line, text = status_line(status), as_text(status_report(status, NOW))

    assert line.isprintable()
    assert all(one.isprintable() for shown in (text, drawn) for one in shown.split("\n"))
    assert json.loads(json.dumps(status.as_json()))["rollout"] == change
    assert status.state != "Complete" or generation == 1
