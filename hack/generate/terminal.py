"""Pictures of what commands show in a terminal, drawn from states that the operator's code made.

The states are those by which Argo CD's scripts are tested. Nothing in a picture is fetched from elsewhere.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group, RenderableType

from modelservice_cli.fleet.status import fleet_status
from modelservice_cli.fleet.text import fleet_report
from modelservice_cli.rollout.facts import Facts, Record
from modelservice_cli.rollout.progress.live import draw, draw_part
from modelservice_cli.rollout.progress.status import rollout_status
from modelservice_operator.decide.revision import RecordedRuntime, Snapshot

_KINDS = Path("gitops/argocd/resource_customizations/modelservice.dev")
STATES = _KINDS / "ModelService/testdata"
FLEET_STATES = _KINDS / "RuntimeRollout/testdata"
PICTURES = {
    "rollout-canary": ("canary-analysed", "modelservice rollout status spam -n mail -w"),
    "rollout-stopped": ("canary-analysis-failed", "modelservice rollout status spam -n mail"),
}
"""Names of pictures: the state, and the command that shows it."""
FLEET_PICTURES = {"fleet-halted": ("halted", "modelservice fleet status onnx-1-24 -w")}
_COLUMNS = 100
_SEEN_AFTER = timedelta(seconds=12)
_FONTS = CONSOLE_SVG_FORMAT[
    CONSOLE_SVG_FORMAT.index("    @font-face") : CONSOLE_SVG_FORMAT.index("    .{unique_id}")
]
_FORMAT = CONSOLE_SVG_FORMAT.replace(_FONTS, "").replace("Fira Code, monospace", "monospace")
"""Rich's own, without the fonts that it would fetch."""


def terminal_pictures(root: Path) -> dict[Path, str]:
    """Return the pictures, by their paths from the root."""
    services = {
        Path(f"docs/{name}.svg"): _picture(name, command, _read(root / STATES / f"{state}.yaml"))
        for name, (state, command) in PICTURES.items()
    }
    fleets = {
        Path(f"docs/{name}.svg"): _fleet_picture(name, command, _read(root / FLEET_STATES / f"{state}.yaml"))
        for name, (state, command) in FLEET_PICTURES.items()
    }
    return services | fleets


def _read(path: Path) -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return service


def _picture(name: str, command: str, service: dict[str, Any]) -> str:
    facts = Facts(service=service, records=_records(service), deployments=_deployments(service))
    status = rollout_status(facts)
    return _drawn(name, "spam", command, draw(status, _seen_at(service), status.verdicts))


def _fleet_picture(name: str, command: str, rollout: dict[str, Any]) -> str:
    report = fleet_report(fleet_status(rollout), _seen_at(rollout))
    return _drawn(name, rollout["metadata"]["name"], command, Group(*map(draw_part, report)))


def _seen_at(obj: dict[str, Any]) -> datetime:
    since = max(one["lastTransitionTime"] for one in obj["status"]["conditions"])
    return datetime.fromisoformat(since).astimezone(UTC) + _SEEN_AFTER


def _drawn(name: str, title: str, command: str, shown: RenderableType) -> str:
    console = Console(
        record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(f"$ {command}", style="bold", highlight=False)
    console.print(shown)
    return console.export_svg(title=title, unique_id=name, code_format=_FORMAT)


def _deployments(service: dict[str, Any]) -> dict[str, Any]:
    """Return as many pods for each revision as the status says that traffic has."""
    replicas, traffic = service["spec"]["replicas"], service["status"]["traffic"]
    counts = {one["revision"]: round(replicas * one["actual"] / 100) for one in traffic}
    return {
        revision: {
            "spec": {"replicas": count},
            "status": {"readyReplicas": count, "availableReplicas": count},
        }
        for revision, count in counts.items()
    }


def _records(service: dict[str, Any]) -> tuple[Record, ...]:
    """Return the revisions: the model of the spec after the one of the tag before it."""
    status, uri = service["status"], service["spec"]["model"]["storageUri"]
    repository, _, tag = uri.rpartition(":")
    models = {status["stableRevision"]: f"{repository}:{int(tag) - 1}", status["targetRevision"]: uri}
    runtime = RecordedRuntime(name=status["runtime"]["ref"], image=status["runtime"]["image"])
    return tuple(
        Record(
            revision=revision,
            number=number,
            created_at=service["metadata"]["creationTimestamp"],
            snapshot=Snapshot(inputs={"model": {"storageUri": model}}, runtime=runtime, template={}),
        )
        for number, (revision, model) in enumerate(models.items(), 1)
    )
