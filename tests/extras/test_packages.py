"""The wheel and the source distribution, installed as a user installs them, and wheels for other machines."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.support.serve_command import serving
from tests.support.serving import ask_adder
from tests.support.tiny_models import make_adder

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
EPOCH = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
ARM = "aarch64-manylinux_2_36"
"""Debian 12 on 64-bit ARM, the base of our images on such machines."""


def run(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=EPOCH)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--out-dir", folder)
    return folder


def find(folder: Path, ending: str) -> Path:
    (found,) = folder.glob(f"modelservice-*{ending}")
    return found


def test_wheel_in_a_clean_environment_answers(packages: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    wheel = find(packages, ".whl")
    run(UV, "pip", "install", "--quiet", "--python", python, f"modelservice[runtime] @ {wheel.as_uri()}")
    model = tmp_path / "adder.onnx"
    model.write_bytes(make_adder(1))
    command = python.with_name("modelservice")
    with serving("--model", f"adder={model}", command=command) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            assert ask_adder(connection, "adder", 41) == 42
        finally:
            connection.close()


def test_wheel_without_extras_explains_every_command_and_names_the_extra_that_lacks(
    packages: Path, tmp_path: Path
) -> None:
    python = tmp_path / "venv/bin/python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    run(UV, "pip", "install", "--quiet", "--python", python, find(packages, ".whl"))
    command = python.with_name("modelservice")
    listed = re.findall(r"^    (\S+)", run(command, "--help"), re.MULTILINE)
    assert {"serve", "model", "rollout", "fleet", "completion"} <= set(listed)
    for name in listed:
        if not name.isdigit():  # exit codes are listed alike
            assert f"usage: modelservice {name} " in run(command, name, "--help")
    for arguments, extra in (
        (("serve", "--model", "m=m.onnx"), "runtime"),
        (("completion", "bash"), "cli"),
        (("top",), "cli"),
    ):
        result = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert f"pip install 'modelservice[{extra}]'" in result.stderr


def test_packages_hold_the_licence_and_no_tests(packages: Path) -> None:
    with zipfile.ZipFile(find(packages, ".whl")) as wheel, tarfile.open(find(packages, ".tar.gz")) as source:
        for names in (wheel.namelist(), source.getnames()):
            assert any(name.endswith("LICENSE") for name in names)
            assert not [name for name in names if "/tests/" in name or "__pycache__" in name]
            assert not [name for name in names if name.endswith((".so", ".pyc", ".onnx", ".key", ".pem"))]
            assert any("modelservice_runtime/" in name for name in names)


def test_packages_are_the_same_bytes_each_time(packages: Path, tmp_path: Path) -> None:
    run(UV, "build", "--quiet", "--out-dir", tmp_path)
    for ending in (".whl", ".tar.gz"):
        assert find(packages, ending).read_bytes() == find(tmp_path, ending).read_bytes()


@pytest.mark.parametrize("image", ["operator", "runtime", "runtime-gpu"])
def test_every_package_of_an_image_has_a_wheel_for_arm(image: str, tmp_path: Path) -> None:
    lock = f"requirements/{image}.txt"
    options = ("--dry-run", "--only-binary", ":all:", "--require-hashes", "--python-platform", ARM)
    run(UV, "pip", "install", "--python", sys.executable, "--target", tmp_path, *options, "-r", lock)
