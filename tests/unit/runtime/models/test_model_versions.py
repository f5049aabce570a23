from pathlib import Path

import pytest

from modelservice_runtime.errors import InvalidSettingsError, ModelNotFoundError
from modelservice_runtime.models.versions import (
    VersionLabel,
    VersionPolicy,
    VersionSource,
    check_labels,
    find_versions,
)


def make_versions(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).mkdir()
    return directory


def versions(path: Path, policy: VersionPolicy = VersionPolicy.ALL) -> list[str]:
    return [source.version for source in find_versions("m", path, "7", policy)]


def test_find_versions_of_version_directories_orders_them_by_number(tmp_path: Path) -> None:
    make_versions(tmp_path, "10", "9", "00000123", "tmp", "1.5", "-1")
    (tmp_path / "5").touch()
    assert versions(tmp_path) == ["9", "10", "123"]
    assert find_versions("m", tmp_path, "7", VersionPolicy.LATEST) == [
        VersionSource("m", "123", tmp_path / "00000123")
    ]


def test_find_versions_of_a_file_or_a_models_directory_is_the_default_version(tmp_path: Path) -> None:
    make_versions(tmp_path, "1")
    model = tmp_path / "model.onnx"
    model.touch()
    assert versions(model) == versions(tmp_path) == versions(tmp_path / "absent") == ["7"]


def test_find_versions_of_a_version_given_twice_is_an_error(tmp_path: Path) -> None:
    make_versions(tmp_path, "1", "01")
    with pytest.raises(ModelNotFoundError, match="twice"):
        versions(tmp_path)


def test_check_labels_of_a_version_not_served_names_those_that_are(tmp_path: Path) -> None:
    sources = [VersionSource("m", version, tmp_path) for version in ("1", "2")]
    check_labels([VersionLabel("m", "stable", "2")], sources)
    with pytest.raises(
        InvalidSettingsError, match="m:stable names version '3', but the versions served are 1, 2"
    ):
        check_labels([VersionLabel("m", "stable", "3")], sources)
