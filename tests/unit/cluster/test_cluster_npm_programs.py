from pathlib import Path

import pytest
from hack.cluster.errors import ClusterError
from hack.cluster.npm_programs import AZURITE, find_npm_program


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder on PATH, and an empty cache."""
    monkeypatch.setenv("MODELSERVICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_find_npm_program_on_path_uses_it(programs: Path) -> None:
    program = programs / "azurite-blob"
    program.touch(0o755)
    assert find_npm_program(*AZURITE) == program


def test_find_npm_program_without_npm_says_what_to_install() -> None:
    with pytest.raises(ClusterError, match=r"azurite needs npm: install Node\.js"):
        find_npm_program(*AZURITE)
