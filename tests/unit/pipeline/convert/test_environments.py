"""Environments: made once, by one process at a time, and anew where they are broken; locked by hashes."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelservice_pipeline.convert import environments
from modelservice_pipeline.convert.environments import Environment, prepare
from modelservice_pipeline.convert.frameworks import FRAMEWORKS
from modelservice_pipeline.errors import PipelineError

NAMES = sorted({framework.environment.name for framework in FRAMEWORKS.values()})


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Make environments without packages; returns the commands that did it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environments, "_works", lambda folder, _: (folder / "complete").is_file())
    commands = []

    def run(command):
        commands.append(command)
        (Path(command[-1]) if "venv" in command else tmp_path / "unused").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "_run", run)
    return commands


@pytest.mark.parametrize("name", NAMES)
def test_every_package_is_locked_by_hashes_and_no_host_is_named(name):
    requirements = Environment(name, 1).requirements
    assert "://" not in requirements
    packages = re.findall(r"^[a-z0-9].*$", requirements, re.MULTILINE)
    assert packages
    assert all("==" in package and package.endswith("\\") for package in packages)
    assert "--hash=sha256:" in requirements


def test_environment_is_made_once_and_again_where_it_was_not_finished(made):
    environment = Environment("classical", 1)
    python = prepare(environment)
    assert python == environment.folder / "bin/python"
    assert len(made) == 2
    assert any("--require-hashes" in command for command in made)
    prepare(environment)
    assert len(made) == 2
    (environment.folder / "complete").unlink()
    prepare(environment)
    assert len(made) == 4


def test_concurrent_commands_make_one_environment(made):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(prepare, [Environment("classical", 1)] * 4))
    assert len(made) == 2


def test_failure_is_told_and_leaves_nothing_that_counts_as_finished(made, monkeypatch):
    def fail(command):
        raise PipelineError("no index")

    monkeypatch.setattr(environments, "_run", fail)
    with pytest.raises(PipelineError, match="no index"):
        prepare(Environment("classical", 1))
    assert not (Environment("classical", 1).folder / "complete").exists()
