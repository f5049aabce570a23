"""What auditors say of what we have people run: nothing beside what `auditors.yaml` gives a reason for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack.cluster.binaries import find_programs
from tests.support.chart import MODEL_RUNTIME_API, MONITORING_API, Chart, Object

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / ".venv-audit/bin"
REASONS: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).with_name("auditors.yaml")).read_text(encoding="utf-8")
)
DIGEST = f"sha256:{'0' * 64}"
HARDENED: dict[str, Any] = {
    "image": {"digest": DIGEST},
    "namespace": {"create": True},
    "networkPolicy": {"enabled": True},
    "monitoring": {"enabled": True},
    "priorityClass": {"create": True},
}
"""As a release is installed by those who ask auditors."""
GOLDEN = ROOT / "tests/unit/operator/decide/resources/golden"
PERFECT = 10
"""The best grade of kube-score."""
MINORS = tuple(f"1.{minor}" for minor in range(31, 38))
"""From the oldest one that we support."""
FOREIGN = ("monitoring.coreos.com/", "modelservice.dev/", "gateway.networking.k8s.io/", "keda.sh/")
"""Kinds of CRDs, which Kubernetes' own schemas do not have."""


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    """The chart, rendered."""
    chart = Chart(find_programs(["helm"])["helm"])
    return chart.render(HARDENED, apis=(MODEL_RUNTIME_API, MONITORING_API))


@pytest.fixture(scope="module")
def manifests(objects: list[Object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The chart, and the children of many ModelServices, each as one file."""
    folder = tmp_path_factory.mktemp("manifests")
    goldens = (yaml.safe_load_all(file.read_text(encoding="utf-8")) for file in sorted(GOLDEN.glob("*.yaml")))
    subjects = {"chart": objects, "models": [one for golden in goldens for one in golden if one]}
    for name, documents in subjects.items():
        # As JSON, which is YAML that means the same to every parser: a bare `n` is a boolean to some.
        text = "\n---\n".join(json.dumps(one, indent=1) for one in documents)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.yaml" for name in subjects}


def program(name: str) -> Path:
    if not (PROGRAMS / name).exists():
        pytest.fail("run `make .venv-audit/.installed` before", pytrace=False)
    return PROGRAMS / name


def run(*command: str | Path) -> Any:
    """Return what an auditor printed as JSON; its exit code is 1 where it found anything."""
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LOG_LEVEL": "CRITICAL"}
    )
    assert result.returncode in (0, 1), result.stderr
    return json.loads(result.stdout)


def ask_checkov(*files: Path, frameworks: tuple[str, ...]) -> set[str]:
    """Return the checks that failed."""
    options = ("--compact", "--quiet", "--skip-download", "--output", "json")
    said = run(program("checkov"), "--file", *files, "--framework", *frameworks, *options)
    reports = said if isinstance(said, list) else [said]
    assert len(reports) == len(frameworks)
    assert all(one["summary"]["passed"] > 50 and not one["summary"]["parsing_errors"] for one in reports)
    return {one["check_id"] for report in reports for one in report["results"]["failed_checks"]}


def ask_kube_score(manifest: Path) -> set[str]:
    """Return the checks that failed, or that would be better met."""
    said = run(find_programs(["kube-score"])["kube-score"], "score", "--output-format", "json", manifest)
    grades = [
        (one["check"]["id"], one["grade"]) for obj in said for one in obj["checks"] if not one["skipped"]
    ]
    assert len(grades) > 50
    return {name for name, grade in grades if grade < PERFECT}


@pytest.mark.parametrize("name", ["chart", "models"])
def test_nothing_is_found_in_manifests_without_a_reason(manifests: dict[str, Path], name: str) -> None:
    found = ask_checkov(manifests[name], frameworks=("kubernetes",)) | ask_kube_score(manifests[name])
    assert found == REASONS[name].keys()


def test_nothing_is_found_in_dockerfiles_and_workflows_without_a_reason() -> None:
    files = [*ROOT.glob("*/Dockerfile"), *(ROOT / ".github/workflows").glob("*.yml")]
    assert len(files) == 5
    assert ask_checkov(*files, frameworks=("dockerfile", "github_actions")) == REASONS["files"].keys()


VALIDATE = """
import json, sys, kubernetes_validate
objects, minors = json.load(sys.stdin)
found = []
for minor in minors:
    for one in objects:
        try:
            assert kubernetes_validate.validate(one, minor, strict=True) == minor
        except kubernetes_validate.ValidationError as error:
            path = ".".join(map(str, error.path))
            found.append(f"{minor} {one['kind']} {one['metadata']['name']}: {path}: {error.message}")
        except kubernetes_validate.utils.SchemaNotFoundError:
            found.append(f"{minor} {one['kind']}: unknown")
json.dump(found, sys.stdout)
"""


def find_faults(objects: list[Object]) -> list[str]:
    """What the schemas of every minor that we support say of these objects."""
    result = subprocess.run(
        [program("python"), "-c", VALIDATE],
        input=json.dumps([objects, MINORS]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: list[str] = json.loads(result.stdout)
    return found


def test_every_supported_minor_takes_the_chart(objects: list[Object]) -> None:
    ours = [one for one in objects if not one["apiVersion"].startswith(FOREIGN)]
    assert len(ours) > 15
    assert find_faults(ours) == []


def test_every_supported_minor_takes_what_the_operator_writes(manifests: dict[str, Path]) -> None:
    written = yaml.safe_load_all(manifests["models"].read_text(encoding="utf-8"))
    ours = [one for one in written if not one["apiVersion"].startswith(FOREIGN)]
    assert len(ours) > 100
    # Devices are claimed where a cluster serves this kind.
    older = {f"1.{minor} ResourceClaimTemplate: unknown" for minor in range(31, 34)}
    # Only where a user says so (docs/autoscaling.md): an API server without the field names it as it refuses.
    tolerance = (
        "HorizontalPodAutoscaler spam: spec.behavior.scaleDown: "
        "Additional properties are not allowed ('tolerance' was unexpected)"
    )
    older |= {f"1.{minor} {tolerance}" for minor in (31, 32)}
    assert set(find_faults(ours)) == older


def test_a_wrong_field_is_found_in_every_minor(objects: list[Object]) -> None:
    (service, *_) = [one for one in objects if one["kind"] == "Service"]
    faults = find_faults([{**service, "spec": {**service["spec"], "portz": []}}])
    assert len(faults) == len(MINORS)
    assert all("portz" in fault for fault in faults)
