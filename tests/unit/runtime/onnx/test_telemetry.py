"""Nothing tells the maker of ONNX Runtime what is served here."""

import os
import subprocess
import sys
from pathlib import Path


def test_onnx_runtime_keeps_no_events_to_send(tmp_path: Path) -> None:
    inherited = {name: text for name, text in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment = inherited | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    program = "import modelservice_runtime.onnx.session"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
