"""What processes import before they are ready: time to start, and memory for as long as they live."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.unit.runtime.server_process import server_process

SERVER = "modelservice_runtime.serving.serve"
COMMAND = "modelservice_cli.commands, modelservice_cli.local.serve, modelservice_runtime.serving.serve"
# Each takes longer than a small model to load.
HEAVY = [
    "aiohttp", "email.utils", "google.protobuf", "importlib.metadata", "jinja2", "llguidance",
    "modelservice_operator", "numpy.random", "obstore", "opentelemetry", "prometheus_client", "pydantic",
    "statistics", "tokenizers", "yaml",
]  # fmt: skip
# Ours, which only some requests need.
LATE = [
    "modelservice_runtime.observe.exchange",
    "modelservice_runtime.protos",
    "modelservice_runtime.protocols.grpc_services",
    "modelservice_runtime.protocols.openapi.document",
    "modelservice_runtime.protocols.tfs.rest.predict_codec",
]
IMPORTS = """
import {modules}
import sys
print(*sorted(set({unneeded}) & set(sys.modules)))
"""
SERVE = """
import sys
from modelservice_runtime import __main__
from modelservice_runtime.serving import serve

def tell(message, **fields):
    if message == "ready":
        fields["extra"]["modules"] = sorted(set({unneeded}) & set(sys.modules))
    info(message, **fields)

info, serve.log.info = serve.log.info, tell
sys.exit(__main__.main(["serve", *sys.argv[1:]]))
"""
LATER = """
import asyncio, sys
from modelservice_runtime.serving import serve
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.settings.security import SecuritySettings
from modelservice_runtime.protocols.application import build_application
from modelservice_runtime.transport.grpc.open_streams import OpenStreams

serve._import_late_modules()
known = set(sys.modules)
table = ModelTable()
for front_end in build_application(table, Health(table), 1, SecuritySettings())._front_ends:
    front_end.bind((b"nowhere",))
from modelservice_runtime.protocols.grpc_services import build_grpc_services
build_grpc_services(table, Health(table), OpenStreams(), asyncio.new_event_loop())
print(*sorted(set(sys.modules) - known))
"""


@pytest.mark.parametrize("name", HEAVY + LATE)
def test_unneeded_modules_are_called_so(name: str) -> None:
    assert find_spec(name) is not None


@pytest.mark.parametrize("modules", [SERVER, COMMAND])
def test_server_imports_nothing_that_it_may_never_need(modules: str) -> None:
    assert run_python(IMPORTS.format(modules=modules, unneeded=HEAVY)) == []


def test_server_that_is_ready_has_imported_nothing_that_it_may_never_need(
    model_files: dict[str, Path],
) -> None:
    model = ("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "0")
    with server_process(*model, program=SERVE.format(unneeded=HEAVY + LATE)) as server:
        assert server.wait_for("ready")["modules"] == []
        assert server.end() == 0


def test_nobody_waits_for_what_was_imported_behind_ready() -> None:
    assert run_python(LATER) == []


def test_linear_algebra_of_numpy_starts_no_threads() -> None:
    assert run_python(
        "import modelservice_runtime, numpy, os; print(len(os.listdir('/proc/self/task')))"
    ) == ["1"]


def run_python(program: str) -> list[str]:
    """The words that a process of its own prints."""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return ended.stdout.split()
