import os
from pathlib import Path

import pytest
from hack.cluster.binaries import family_directory, find_family
from hack.cluster.errors import ClusterError
from hack.cluster.families import FAMILIES, Family
from hack.cluster.paths import GO_MODULES


def make_program(directory: Path, name: str, output: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / name
    program.write_text(f"#!/bin/sh\necho '{output}'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Family:
    monkeypatch.setenv("MODELSERVICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    return Family("tool", "v1.2.3", {"tool-a": "example/a"}, build_seconds=1, version_text="v1.2.3")


def test_find_family_in_assets_of_same_version_uses_them(family: Family, tmp_path: Path) -> None:
    program = make_program(tmp_path / "assets", "tool-a", "tool-a v1.2.3")
    assert find_family(family) == {"tool-a": program}


def test_find_family_in_assets_of_other_version_uses_cache(family: Family, tmp_path: Path) -> None:
    make_program(tmp_path / "assets", "tool-a", "tool-a v1.2.4")
    cached = make_program(family_directory(family), "tool-a", "")
    assert find_family(family) == {"tool-a": cached}


def test_find_family_without_go_says_what_to_install(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"install Go 1\.26 or newer"):
        find_family(family)


def test_find_family_with_old_go_says_what_to_install(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(tmp_path / "bin", "go", "go version go1.19.8 linux/amd64")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin:/bin")
    with pytest.raises(ClusterError, match=r"go1\.19\.8.*install Go 1.26 or newer"):
        find_family(family)


def test_find_family_failed_build_leaves_nothing_in_cache(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'if [ "$1" = version ]; then echo go version go1.26.8 linux/amd64; exit; fi\n'
    script += 'if [ "$1" = list ]; then echo a; exit; fi\necho "example/a: no such package"; exit 1'
    program = make_program(tmp_path / "bin", "go", "")
    program.write_text(f"#!/bin/sh\n{script}\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setattr("hack.cluster.binaries.GO_MODULES", tmp_path)
    (tmp_path / "tool").mkdir()
    with pytest.raises(ClusterError, match="no such package"):
        find_family(family)
    assert not [path for path in family_directory(family).parent.iterdir() if path.is_dir()]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_families_pin_the_version_that_they_name(family: Family) -> None:
    text = (GO_MODULES / family.name / "go.mod").read_text()
    assert any(
        line.strip().endswith((f" {family.version}", f" {family.version} // indirect"))
        for line in text.splitlines()
    )
    for package in family.programs.values():
        assert package in text
