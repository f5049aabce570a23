"""No module of ours needs itself: not through an import inside a function, nor through one for types only."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules_below(folder: Path) -> dict[str, Path]:
    """Return the files of a package by the names of their modules."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """Yield every name that a file imports, wherever; `from package import module` needs both."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circle_in(folder: Path) -> list[str]:
    """Return a circle of modules that import each other, nothing where there is none."""
    modules = modules_below(folder)
    graph = {name: modules.keys() & set(imported(path)) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


@pytest.mark.parametrize(
    "package",
    [
        "operator/modelservice_operator",
        "operator/modelservice_activator",
        "operator/modelservice_autoscaler",
        "runtime/modelservice_runtime",
        "pipeline/modelservice_pipeline",
        "cli/modelservice_cli",
    ],
)
def test_package_has_no_circle_of_imports(package: str) -> None:
    assert len(modules_below(ROOT / package)) > 2
    assert circle_in(ROOT / package) == []


@pytest.mark.parametrize(
    "back",
    [
        "import house.hall",
        "from house.hall import door",
        "from house import hall",
        "def enter():\n    import house.hall",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.hall import door",
    ],
)
def test_circle_in_two_rooms_is_found(tmp_path: Path, back: str) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "__init__.py").touch()
    (house / "hall.py").write_text("import house.room")
    (house / "room.py").write_text("")
    assert circle_in(house) == []
    (house / "room.py").write_text(back)
    assert set(circle_in(house)) == {"house.hall", "house.room"}


def test_circle_of_a_package_that_offers_what_needs_it_is_found(tmp_path: Path) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "__init__.py").write_text("from house.hall import door")
    (house / "hall.py").write_text("from house import room")
    (house / "room.py").touch()
    assert set(circle_in(house)) == {"house", "house.hall"}


def test_package_that_offers_a_module_of_its_own_is_no_circle(tmp_path: Path) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "__init__.py").write_text("from house import hall")
    (house / "hall.py").touch()
    assert circle_in(house) == []
