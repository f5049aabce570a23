"""Converts LightGBM's models: its text files, and pickles."""

from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.classical import pickles
from modelservice_pipeline.convert.inside.from_sklearn import convert_estimator
from modelservice_pipeline.convert.inside.job import Converted, Job, import_or_explain
from modelservice_pipeline.errors import PipelineError


def convert(job: Job) -> Converted:
    """Convert a text file, or a pickle of a booster, an estimator or a pipeline."""
    import_or_explain("lightgbm")
    import_or_explain("skl2onnx")
    import lightgbm

    if job.source.suffix in (".txt", ".model", ".lgb"):
        return convert_estimator(job, _as_estimator(_load(job.source)))
    model, notes = pickles.load(job.source)
    if isinstance(model, lightgbm.Booster):
        model = _as_estimator(model)
    return convert_estimator(job, model, notes)


def _load(path: Path) -> Any:
    import lightgbm

    try:
        return lightgbm.Booster(model_file=path)
    except (lightgbm.basic.LightGBMError, ValueError, OSError) as error:
        raise PipelineError(f"{path.name} is no model of LightGBM that can be read: {error}") from None


def _as_estimator(booster: Any) -> Any:
    """The booster as an estimator of its kind, which knows how its scores become answers."""
    import lightgbm
    from sklearn.preprocessing import LabelEncoder

    objective = booster.dump_model()["objective"].split(" ")[0]
    is_classifier = objective in ("binary", "multiclass", "multiclassova", "cross_entropy")
    estimator = lightgbm.LGBMClassifier() if is_classifier else lightgbm.LGBMRegressor()
    # What `fit` would have set; LightGBM itself reads a file into a booster only.
    estimator._Booster = booster
    estimator.fitted_ = True
    estimator._fitted_with_feature_names = True
    estimator._n_features = estimator._n_features_in = booster.num_feature()
    estimator._objective = objective
    if is_classifier:
        count = booster.dump_model()["num_class"] if objective.startswith("multiclass") else 2
        estimator._n_classes = count
        estimator._classes = np.arange(count)
        estimator._le = LabelEncoder().fit(estimator._classes)
    return estimator
