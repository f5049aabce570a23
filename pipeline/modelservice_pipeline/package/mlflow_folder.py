"""A model's folder as MLflow logs it, read without MLflow.

https://mlflow.org/docs/latest/ml/model/ ("MLmodel file"): YAML, with the flavours that can load the model.
"""

from pathlib import Path
from typing import Any

import yaml

from modelservice_pipeline.errors import PipelineError

MLFLOW_FILE = "MLmodel"


def find_mlflow_model(path: Path) -> str:
    """Return the path of the ONNX file that an `MLmodel` names, below its folder. Raises PipelineError."""
    flavors = _read(path).get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise PipelineError(f"{path} names no flavors: expected what mlflow.onnx.log_model writes")
    onnx = flavors.get("onnx")
    if not isinstance(onnx, dict):
        raise PipelineError(
            f"{path} has the flavors {', '.join(sorted(map(str, flavors)))} and not onnx: log the model with "
            "mlflow.onnx.log_model, or convert it first (modelservice model convert)"
        )
    data = onnx.get("data")
    if not isinstance(data, str):
        raise PipelineError(f"{path}: expected the path of the model in flavors.onnx.data")
    # Where a model was saved with external data, MLflow names the folder.
    return data if data.endswith(".onnx") else f"{data.rstrip('/')}/model.onnx"


def _read(path: Path) -> dict[str, Any]:
    try:
        parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        parsed = None
    if not isinstance(parsed, dict):
        raise PipelineError(f"{path} is not what MLflow writes: expected a YAML mapping")
    return parsed
