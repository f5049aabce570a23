"""`info`: the machine, a model, as text and as JSON; GPUs through a stand-in for NVML."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx import helper
from tests.unit.runtime import row_kinds
from tests.unit.runtime.fake_nvml import make_nvml

from modelservice_cli import main as command
from modelservice_runtime.__main__ import main
from modelservice_runtime.machine.cpu import cpu_features, cpu_name
from modelservice_runtime.machine.gpu_devices import GpuDevice, open_gpus


def test_info_as_json_tells_versions_providers_and_the_model(
    model_files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--json", "--model", str(model_files["mlp"])]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"modelservice", "python", "onnxruntime", "numpy"} <= set(facts["versions"])
    assert facts["execution_providers"]["CPU"] == "usable"
    assert facts["threads"]["available"] >= 1
    model = facts["model"]
    assert model["file"] == "mlp.onnx"
    assert model["size_bytes"] == model_files["mlp"].stat().st_size
    assert (model["ir_version"], model["opsets"]) == (8, {"ai.onnx": 17})
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert model["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]
    assert (model["batchable"], model["time_depends_on_values"]) == (True, False)
    assert (model["batching_source"], model["batching_obstacle"]) == ("graph", None)
    assert model["run_microseconds"] > 0
    assert "is not fixed" in model["cuda_graphs"]


def test_info_as_text_has_one_fact_a_line(
    model_files: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copy(model_files["loop"], tmp_path / "model.onnx")
    assert command.main(["runtime", "info", "--model", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  CPU: usable" in lines
    assert "    name x, datatype INT64, shape [1]" in lines
    assert "  batchable: no" in lines
    assert "  batching obstacle: input 'x' has no variable first dimension: [1]" in lines
    assert "  time depends on values: yes" in lines
    assert not any(line.endswith(": ") for line in lines)


def test_info_takes_samples_and_the_owners_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = row_kinds.over_batch(
        helper.make_node("MatMul", ["x", "w"], ["y"]), w=np.ones((1001, 2), np.float32)
    )
    kind.shape = ["n", "features"]
    model = str(kind.save(tmp_path / "m.onnx"))
    words = ["info", "--json", "--rows-are-independent", "--model", model]
    assert main(words) == 0
    assert not json.loads(capsys.readouterr().out)["model"]["batchable"]
    assert main([*words, "--samples", "x:1x1001"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["batchable"]
    assert main([*words, "--samples", "y:1x1001"]) == 1
    assert "--samples: the model has no input 'y'" in capsys.readouterr().err


def test_info_of_a_missing_model_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", "/nowhere"]) == 1
    assert capsys.readouterr().err.startswith("ModelNotFound: ")
    assert command.main(["runtime", "info", "--model", "/nowhere"]) == 1
    assert capsys.readouterr().err.startswith("modelservice: ModelNotFound: ")


def test_info_with_wrong_usage_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--nonsense"]) == 1
    assert capsys.readouterr().err.startswith("InvalidSettings: unrecognized arguments")


@pytest.mark.parametrize(
    ("text", "name", "features"),
    [
        ("model name\t: A CPU\nflags\t\t: fpu avx2 fma avx512f\n", "A CPU", ["fma", "avx2", "avx512f"]),
        ("Features\t: fp asimd asimddp sve\n", "", ["asimd", "asimddp", "sve"]),
        ("", "", []),
    ],
)
def test_cpu_is_described_as_linux_does(tmp_path: Path, text: str, name: str, features: list[str]) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert (cpu_name(file), cpu_features(file)) == (name, features)
    assert cpu_features(tmp_path / "absent") == []


def test_open_gpus_reads_every_device() -> None:
    gpus = open_gpus(lambda _: make_nvml(2))
    assert gpus is not None
    assert gpus.driver_version == "580.1"
    assert gpus.read() == [
        GpuDevice("GPU-0", "H0", 1000, 100, 0.25),
        GpuDevice("GPU-1", "H1", 1000, 101, None),
    ]


def test_slices_of_a_device_stand_for_it() -> None:
    gpus = open_gpus(lambda _: make_nvml(2, slices=3))
    assert gpus is not None
    told = [(gpu.uuid, gpu.memory_used_bytes, gpu.utilization) for gpu in gpus.read()]
    assert told == [
        ("GPU-100", 200, None),
        ("GPU-102", 202, None),
        ("GPU-104", 204, None),
        ("GPU-1", 101, None),
    ]


def test_open_gpus_without_package_driver_or_device_is_none() -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    assert open_gpus(missing) is None
    assert open_gpus(lambda _: make_nvml(1, has_driver=False)) is None
    assert open_gpus(lambda _: make_nvml(0)) is None
