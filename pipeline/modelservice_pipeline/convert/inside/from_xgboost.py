"""Converts XGBoost's models: its own files, and pickles."""

import tempfile
from pathlib import Path
from typing import Any

from modelservice_pipeline.convert.inside.classical import pickles
from modelservice_pipeline.convert.inside.from_sklearn import convert_estimator
from modelservice_pipeline.convert.inside.job import Converted, Job, import_or_explain
from modelservice_pipeline.errors import PipelineError


def convert(job: Job) -> Converted:
    """Convert a .json or .ubj file, or a pickle of a booster, an estimator or a pipeline."""
    import_or_explain("xgboost")
    import_or_explain("skl2onnx")
    import xgboost

    if job.source.suffix in (".json", ".ubj", ".model", ".bin"):
        return convert_estimator(job, _load(job.source))
    model, notes = pickles.load(job.source)
    if isinstance(model, xgboost.Booster):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.ubj"
            model.save_model(path)
            return convert_estimator(job, _load(path), notes)
    return convert_estimator(job, model, notes)


def _load(path: Path) -> Any:
    """The file as an estimator of its kind. Raises PipelineError."""
    import xgboost

    try:
        objective = str(xgboost.Booster(model_file=path).save_config())
        is_classifier = '"binary:' in objective or '"multi:' in objective
        estimator = xgboost.XGBClassifier() if is_classifier else xgboost.XGBRegressor()
        estimator.load_model(path)
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        sentence = str(error).strip().splitlines()[0]
        raise PipelineError(f"{path.name} is no model of XGBoost that can be read: {sentence}") from None
    return estimator
