"""The GitHub workflows, by the auditors that people run over them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack.cluster.binaries import find_programs

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """Built once, in seconds."""
    return find_programs(["actionlint"])["actionlint"]


def run(*command: str | Path) -> tuple[int, str]:
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return result.returncode, result.stdout + result.stderr


def zizmor(folder: Path) -> tuple[int, str]:
    """As strict as it can be; what it would ask GitHub is left out."""
    program = Path(sys.executable).with_name("zizmor")
    return run(program, "--offline", "--persona", "auditor", "--no-progress", folder)


def test_actionlint_finds_nothing(actionlint: Path) -> None:
    assert len(WORKFLOWS) == 3
    assert run(actionlint, "-no-color", *WORKFLOWS) == (0, "")


def test_zizmor_finds_nothing() -> None:
    code, said = zizmor(ROOT / ".github/workflows")
    assert code == 0, said


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("github.ref }}", "github.reff }}", 'property "reff" is not defined'),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-99.04", 'label "ubuntu-99.04" is unknown'),
    ],
)
def test_actionlint_finds_what_is_wrong(
    actionlint: Path, tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    file = tmp_path / "test.yml"
    file.write_text((ROOT / ".github/workflows/test.yml").read_text().replace(right, wrong))
    code, answer = run(actionlint, "-no-color", file)
    assert code == 1
    assert said in answer


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("08c6903cd8c0fde910a37f88322edcfb5dd907a8", "v5", "unpinned-uses"),
        ("permissions: {}", "", "excessive-permissions"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
    ],
)
def test_zizmor_finds_what_is_wrong(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    text = (ROOT / ".github/workflows/test.yml").read_text().replace(right, wrong)
    (folder / "test.yml").write_text(
        text.replace("    permissions:\n      contents: read\n", "") if not wrong else text
    )
    code, answer = zizmor(folder)
    assert code != 0
    assert said in answer


def steps() -> list[dict[str, Any]]:
    jobs = [job for file in WORKFLOWS for job in yaml.safe_load(file.read_text())["jobs"].values()]
    return [step for job in jobs for step in job["steps"]]


def test_workflows_call_tasks_and_scripts_that_exist() -> None:
    tasks = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = "\n".join(step.get("run", "") for step in steps())
    called = {word for line in re.findall(r"\bmake ([a-z0-9 -]+)", commands) for word in line.split()}
    assert {"test", "lint", "type", "audit", "packages", "sbom"} <= called
    assert called <= tasks
    scripts = set(re.findall(r"hack/release/\w+\.sh", commands))
    assert scripts == {f"hack/release/{file.name}" for file in (ROOT / "hack/release").glob("*.sh")}


def test_actions_are_those_of_github_alone_and_the_same_everywhere() -> None:
    pins = {step["uses"] for step in steps() if "uses" in step}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})
    assert all(pin.startswith("actions/") for pin in pins)
