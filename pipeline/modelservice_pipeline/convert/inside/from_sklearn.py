"""Converts scikit-learn's models, also with XGBoost's and LightGBM's in their pipelines, by skl2onnx."""

import copy
import warnings
from typing import Any

import numpy as np

from modelservice_pipeline.convert.fixes import remove_zip_maps, rename_value
from modelservice_pipeline.convert.inside.classical import (
    boosters,
    codes,
    estimators,
    inputs,
    mending,
    missing,
    pickles,
)
from modelservice_pipeline.convert.inside.classical.estimators import Column
from modelservice_pipeline.convert.inside.classical.layout import Layout
from modelservice_pipeline.convert.inside.job import Converted, Job, import_or_explain
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array, Case, Decision

# Without one skl2onnx draws one, and the same model has other bytes each time.
_GRAPH_NAME = "model"


def convert(job: Job) -> Converted:
    """Convert a pickled estimator or pipeline. Raises PipelineError."""
    for package in ("sklearn", "skl2onnx", "joblib"):
        import_or_explain(package)
    model, notes = pickles.load(job.source)
    model = estimators.unwrap(model)
    return convert_estimator(job, model, notes)


def convert_estimator(job: Job, model: Any, notes: tuple[str, ...] = ()) -> Converted:
    """Convert a fitted estimator. Raises PipelineError."""
    _check_fitted(model)
    plain = copy.deepcopy(model)
    mending.mend(plain)
    boosters.prepare(plain)
    marks_missing = missing.replace_by_empty_text(plain)
    layout = Layout(estimators.find_columns(model, _learn_booster), marks_missing)
    _learn_missing(model, layout)
    arrays = _arrays(job, layout)
    feeds = [layout.feed(arrays), layout.feed([array[:1] for array in arrays])]
    onnx_model = _to_onnx(plain, layout, job.opset)
    if layout.takes_codes:
        codes.take_categories(onnx_model, dict(zip(layout.names, layout.columns, strict=True)))
    else:
        layout.name_inputs(onnx_model.graph)
    answers = [_answers(model, layout, [row[: len(_first(feed))] for row in arrays]) for feed in feeds]
    if marks_missing:
        missing.rename_missing(onnx_model.graph)
    remove_zip_maps(onnx_model.graph)
    names = _name_outputs(onnx_model, list(answers[0]))
    if "scores" in names and answers[0]["scores"].ndim == 1:
        _keep_one_score(onnx_model.graph, model)
    cases = [
        Case(feed, _shaped(onnx_model, names, answer)) for feed, answer in zip(feeds, answers, strict=True)
    ]
    return Converted(
        onnx_model,
        cases,
        ("scikit-learn", "skl2onnx", "onnxmltools", "xgboost-cpu", "xgboost", "lightgbm"),
        labels=_decisions(names),
        has_thresholds=estimators.has_trees(model),
        metadata=_metadata(model, layout),
        notes=notes,
    )


def _learn_booster(part: Any, columns: list[Column]) -> None:
    if boosters.is_booster(part):
        boosters.learn(part, columns)


def _check_fitted(model: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not hasattr(model, "get_params"):
        raise PipelineError(
            f"the file holds a {type(model).__module__}.{type(model).__name__}, not an estimator of "
            "scikit-learn; pickle the fitted pipeline itself"
        )
    try:
        check_is_fitted(model)
    except (NotFittedError, TypeError):
        raise PipelineError(f"the {type(model).__name__} was not fitted; pickle it after fit()") from None


def _first(feed: dict[str, Array]) -> Array:
    return next(iter(feed.values()))


def _arrays(job: Job, layout: Layout) -> list[Array]:
    samples = job.samples()
    if samples:
        return inputs.take(layout.columns, samples, job.rows)
    return inputs.make_up(layout.columns, job.rows, job.random)


def _learn_missing(model: Any, layout: Layout) -> None:
    """Ask a model with trees that take NaN where it does: a step before them may, or may not."""
    if not estimators.takes_missing(model):
        return
    row = inputs.make_up(layout.columns, 1, np.random.default_rng(0))
    for place, column in enumerate(layout.columns):
        if column.is_text or column.may_miss or not column.is_used:
            continue
        missing = [np.full(1, np.nan, np.float32) if place == at else array for at, array in enumerate(row)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _ask(model, layout.frame(missing, np.float64))
            except (TypeError, ValueError):
                continue
        column.may_miss = True


def _to_onnx(model: Any, layout: Layout, opset: int) -> Any:
    """Convert. Raises PipelineError with what the converter cannot do."""
    from skl2onnx import convert_sklearn

    from modelservice_pipeline.convert.inside.classical import converters, functions, scalers, vectorizers

    converters.register()
    functions.register()
    scalers.register()
    scalers.mark(model)
    vectorizers.register()
    boosters.register()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return convert_sklearn(
                model,
                name=_GRAPH_NAME,
                initial_types=layout.types(),
                target_opset={"": opset, "ai.onnx.ml": 3},
            )
    except PipelineError:
        raise
    except Exception as error:
        sentence = str(error).strip().split("\n")[0].split(" You may raise")[0][:400]
        raise PipelineError(
            f"{type(model).__name__} cannot be converted: {sentence or type(error).__name__} "
            "(scikit-learn's own classes mostly can; put the rest before the request)"
        ) from error


def _answers(model: Any, layout: Layout, arrays: list[Array]) -> dict[str, Array]:
    """What the framework answers, by the names of the outputs. Raises PipelineError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            try:
                return _ask(model, layout.frame(arrays, np.float64))
            except ValueError as error:
                # KMeans that was fitted on one type takes no other.
                if "Buffer dtype mismatch" not in str(error):
                    raise
                return _ask(model, layout.frame(arrays, np.float32))
        except PipelineError:
            raise
        except Exception as error:
            sentence = str(error).strip().split("\n")[0][:300]
            raise PipelineError(
                f"{type(model).__name__} does not take the samples: {sentence}; "
                "give rows of your own with --samples"
            ) from error


def _ask(model: Any, frame: Any) -> dict[str, Array]:
    if isinstance(getattr(model, "classes_", None), list):
        raise PipelineError(
            "a classifier with several labels for a row is not converted; make one of each label"
        )
    if hasattr(model, "classes_") and hasattr(model, "predict"):
        label = np.asarray(model.predict(frame))
        if hasattr(model, "predict_proba"):
            return {"label": label, "probabilities": np.asarray(model.predict_proba(frame))}
        scores = np.asarray(model.decision_function(frame))
        return {"label": label, "scores": scores}
    if hasattr(model, "score_samples") and hasattr(model, "offset_"):
        return {
            "label": np.asarray(model.predict(frame)),
            "scores": np.asarray(model.decision_function(frame)),
        }
    if hasattr(model, "predict") and hasattr(model, "transform") and hasattr(model, "cluster_centers_"):
        return {"label": np.asarray(model.predict(frame)), "distances": np.asarray(model.transform(frame))}
    if hasattr(model, "named_steps") and hasattr(model, "predict") and hasattr(model[-1], "cluster_centers_"):
        return {"label": np.asarray(model.predict(frame)), "distances": np.asarray(model.transform(frame))}
    if hasattr(model, "predict"):
        return {"prediction": np.asarray(model.predict(frame))}
    found = model.transform(frame)
    return {"output": np.asarray(found.toarray() if hasattr(found, "toarray") else found)}


def _name_outputs(model: Any, names: list[str]) -> list[str]:
    """Name the outputs as people call them; returns those that the model has. Raises PipelineError."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    names = names[: len(model.graph.output)]
    for value in model.graph.input:
        if value.name in names:
            raise PipelineError(
                f"the model has a column {value.name!r}, and an output of that name; rename the column in "
                "the DataFrame and fit it again"
            )
    for output, name in zip(model.graph.output, names, strict=False):
        if output.name == name:
            continue
        if name in taken:
            rename_value(model.graph, name, f"{name}_inner")
        rename_value(model.graph, output.name, name)
        output.name = name
    return names


# Which of two columns is the score of scikit-learn, where a converter gives both.
_SCORE_COLUMN = {"SVC": 0, "NuSVC": 0, "SGDClassifier": 1, "Perceptron": 1, "PassiveAggressiveClassifier": 1}


def _keep_one_score(graph: Any, model: Any) -> None:
    """Let a model of two classes answer one score, as scikit-learn does."""
    from onnx import TensorProto, helper

    last = model[-1] if hasattr(model, "named_steps") else model
    column = _SCORE_COLUMN.get(type(last).__name__)
    if column is None:
        return
    (output,) = [output for output in graph.output if output.name == "scores"]
    rename_value(graph, "scores", "scores_of_both")
    graph.initializer.append(helper.make_tensor("score_column", TensorProto.INT64, [1], [column]))
    graph.node.append(helper.make_node("Gather", ["scores_of_both", "score_column"], ["scores"], axis=1))
    output.CopyFrom(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1]))


def _shaped(model: Any, names: list[str], answers: dict[str, Array]) -> dict[str, Array]:
    """The answers in the shapes that the ONNX outputs have: often a column where there was a row."""
    found = {}
    for output, name in zip(model.graph.output, names, strict=False):
        answer = answers[name]
        if len(output.type.tensor_type.shape.dim) == 2 and answer.ndim == 1:
            answer = answer[:, None]
        if answer.dtype.kind in "iub":
            answer = answer.astype(np.int64)
        elif answer.dtype.kind in "OU":
            answer = answer.astype(object)
        found[name] = answer
    return found


def _decisions(names: list[str]) -> dict[str, Decision]:
    scores = next((name for name in ("probabilities", "scores", "distances") if name in names), None)
    return {"label": Decision(scores, lowest=scores == "distances")} if "label" in names and scores else {}


def _metadata(model: Any, layout: Layout) -> dict[str, str]:
    import json

    found = {}
    classes = getattr(model, "classes_", None)
    if isinstance(classes, np.ndarray):
        found["classes"] = json.dumps([str(one) for one in classes.tolist()], ensure_ascii=False)
    if layout.is_one_tensor and layout.columns[0].name:
        found["features"] = json.dumps([column.name for column in layout.columns], ensure_ascii=False)
    return found
