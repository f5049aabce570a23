"""What no module of the runtime does: unpickle, evaluate text, or start a shell."""

import ast
from pathlib import Path

import pytest

import modelservice_runtime

ROOT = Path(modelservice_runtime.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "torch",
    "code",
}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {("np", "load"), ("numpy", "load"), ("os", "system"), ("os", "popen"), ("yaml", "load")}


def offences(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += [ast.unparse(node.func)] if _is_forbidden(node.func) else []
            found += ["shell=True" for keyword in node.keywords if keyword.arg in ("shell", "allow_pickle")]
    return found


def _is_forbidden(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in CALLS
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return (function.value.id, function.attr) in METHODS
    return False


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_module_runs_no_code_from_data(path: Path) -> None:
    assert offences(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "np.load(f)",
        "run(c, shell=True)",
        "import torch.nn",
    ],
)
def test_offences_are_found(source: str) -> None:
    assert offences(ast.parse(source))
