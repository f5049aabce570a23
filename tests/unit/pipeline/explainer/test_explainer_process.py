import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.support.operator_process import wait_until
from tests.support.ports import free_port
from tests.unit.runtime.server_thread import ServerThread

ROOT = Path(__file__).parents[4]
IN_THE_IMAGE = {"aiohttp", "numpy"}
NOT_NEEDED = {"onnxruntime", "onnx", "matplotlib", "sklearn", "rich", "pydantic", "urllib3", "kubernetes"}


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_process_answers_on_both_families_and_ends_by_a_signal(server: ServerThread) -> None:
    port = free_port()
    command = [
        *(sys.executable, "-m", "modelservice_pipeline.explainer", "--host", "::", "--port", str(port)),
        *("--url", f"http://127.0.0.1:{server.port}/v2/models/mlp", "--drain-delay-seconds", "0"),
    ]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: is_ready(port), "the explainer is ready")
            body = json.dumps({"instances": [[1, 2, 3, 4]], "background": [[0, 0, 0, 0]]}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models/mlp:explain", body)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["explanations"][0]["method"] == "lime"
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0
        finally:
            process.kill()


def test_it_imports_what_is_in_the_image_alone() -> None:
    program = "import sys, modelservice_pipeline.explainer.__main__; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in found.stdout.split()}
    assert modules >= IN_THE_IMAGE
    assert not modules & NOT_NEEDED
