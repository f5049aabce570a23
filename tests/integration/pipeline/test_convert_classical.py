"""Models of scikit-learn, XGBoost and LightGBM as users pickle them: converted, proven, and asked.

They are fitted and converted in the environment that the command makes: all in one process, for its imports
take longer than they do.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

import modelservice_pipeline
from modelservice_pipeline.convert.convert import Request, finish
from modelservice_pipeline.convert.environments import prepare
from modelservice_pipeline.convert.frameworks import CLASSICAL
from modelservice_pipeline.convert.inside.job import ERROR_NAME, MODEL_NAME, RESULT_NAME, SAMPLES_NAME, Job
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Case, Proof

ROWS = 48
FRAMEWORKS = {"xgboost.json": "xgboost", "lightgbm.txt": "lightgbm", "xgboost.joblib": "xgboost"}
PROVEN = [
    "words.joblib",
    "stop-words.joblib",
    "characters.joblib",
    "words-of-characters.joblib",
    "columns.joblib",
    "named.joblib",
    "numbers-by-name.joblib",
    "indicator.joblib",
    "indicator-of-columns.joblib",
    "calibrated.joblib",
    "calibrated-isotonic.joblib",
    "clusters.joblib",
    "histogram.joblib",
    "histogram-of-columns.joblib",
    "xgboost-of-columns.joblib",
    "lightgbm-of-columns.joblib",
    "forest-of-whole-numbers.joblib",
    "forest.joblib",
    "search.joblib",
    "functions.joblib",
    "logarithm-of-columns.joblib",
    "target.joblib",
    "targets.joblib",
    "xgboost.joblib",
    "xgboost.json",
    "lightgbm.joblib",
    "lightgbm.txt",
]
REFUSED = {
    "function.joblib": "FunctionTransformer calls nan_to_num, which has no counterpart",
    "target-of-powers.joblib": "PowerTransformer",
    "unfitted.joblib": "was not fitted",
    "no-model.joblib": "builtins.dict",
    "indicator-of-texts.joblib": "add_indicator",
    "calibrated-texts.joblib": "around a pipeline that takes texts",
    "name-of-output.joblib": "rename the column",
}
TWICE = ("columns.joblib", "xgboost.json", "lightgbm.txt")
TREES = ("histogram", "forest", "xgboost", "lightgbm")


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """A folder for each source, with what the framework wrote."""
    python = prepare(CLASSICAL)
    folder = tmp_path_factory.mktemp("classical")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(Path(modelservice_pipeline.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    script = Path(__file__).with_name("classical_models.py")
    subprocess.run((python, script, folder), env=environ, check=True)
    jobs = []
    for name in (*PROVEN, *REFUSED, *(f"again/{name}" for name in TWICE)):
        source = Path(name).name
        (folder / "jobs" / name).mkdir(parents=True)
        framework = FRAMEWORKS.get(source, "lightgbm" if source == "lightgbm.joblib" else "sklearn")
        Job(framework, folder / source, folder / "jobs" / name, ROWS, 20, {}).write()
        jobs.append(folder / "jobs" / name)
    # A forest that has not seen a number asks in the middle of its neighbours, and that is the number.
    whole = np.random.default_rng(1).integers(0, 80, (ROWS, 4)).astype(np.float32)
    samples = folder / "jobs" / "forest-of-whole-numbers.joblib" / SAMPLES_NAME
    samples.mkdir()
    write_proof(Proof((Case({"input": whole}, {}),)), samples)
    command = (python, "-P", "-m", "modelservice_pipeline.convert.inside", *jobs)
    subprocess.run(command, env=environ, check=True)
    return folder / "jobs"


@pytest.fixture(scope="session")
def finish_once(converted):
    done = {}

    def finish_job(name):
        if name not in done:
            error = converted / name / ERROR_NAME
            assert not error.exists(), error.read_text()
            metadata = json.loads((converted / name / RESULT_NAME).read_text())["metadata"]
            done[name] = finish(Request("sklearn", converted / name), converted / name, metadata, ())
        return done[name]

    return finish_job


@pytest.mark.parametrize("name", PROVEN)
def test_model_answers_as_its_framework(finish_once, name):
    conversion = finish_once(name)
    assert conversion.verdict.holds
    assert conversion.verdict.rows == ROWS + 1
    assert conversion.proof.has_thresholds is name.startswith(TREES)


def test_scales_before_trees_are_exact(finish_once):
    assert finish_once("forest-of-whole-numbers.joblib").verdict.on_threshold == 0


@pytest.mark.parametrize("name", PROVEN)
def test_file_is_as_every_server_takes_it(finish_once, name):
    model = onnx.load(finish_once(name).model)
    assert all(node.op_type != "ZipMap" for node in model.graph.node)
    domains = [opset.domain for opset in model.opset_import]
    assert len(domains) == len(set(domains))
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch", value
    assert any(one.key == "scikit-learn_version" for one in model.metadata_props)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_told(converted, name):
    assert REFUSED[name] in (converted / name / ERROR_NAME).read_text()


def test_text_pipeline_takes_texts_and_tells_its_classes(finish_once):
    conversion = finish_once("words.joblib")
    model = OnnxModel(conversion.model)
    answer = model.run({"text": np.array(["cash!", "", "KÖLN köln"], object)})
    assert answer["label"].tolist()[0] == "spam"
    assert answer["probabilities"].shape == (3, 2)
    metadata = {one.key: one.value for one in onnx.load(conversion.model).metadata_props}
    assert json.loads(metadata["classes"]) == ["ham", "spam"]


def test_columns_are_inputs_and_the_empty_text_is_a_missing_one(finish_once):
    model = OnnxModel(finish_once("columns.joblib").model)
    assert [port.name for port in model.inputs] == ["age", "city", "size", "note"]
    texts = {name: np.array([[""]], object) for name in ("city", "size", "note")}
    assert model.run({"age": np.array([[np.nan]], np.float32), **texts})["label"].shape == (1,)


def test_columns_keep_their_names_and_dropped_ones_are_no_inputs(finish_once):
    model = OnnxModel(finish_once("named.joblib").model)
    assert [port.name for port in model.inputs] == ["member?", "age (years)", "kind", "column_0"]


def test_table_of_numbers_chosen_by_name_is_one_input(finish_once):
    conversion = finish_once("numbers-by-name.joblib")
    assert [port.shape for port in OnnxModel(conversion.model).inputs] == [(None, 4)]
    metadata = {one.key: one.value for one in onnx.load(conversion.model).metadata_props}
    assert json.loads(metadata["features"]) == ["a", "b", "c d", "e"]


@pytest.mark.parametrize("name", TWICE)
def test_same_file_is_converted_to_the_same_bytes(converted, name):
    first, second = (converted / folder / name / MODEL_NAME for folder in ("", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_categories_of_a_table_are_given_as_they_are(finish_once):
    model = OnnxModel(finish_once("lightgbm.joblib").model)
    assert [(port.name, port.dtype) for port in model.inputs] == [("a", "float32"), ("kind", "object")]


@pytest.mark.parametrize("kind", ["histogram", "xgboost", "lightgbm"])
def test_proof_has_missing_numbers_where_a_tree_behind_other_steps_takes_them(finish_once, kind):
    columns = finish_once(f"{kind}-of-columns.joblib").proof.cases[0].inputs
    assert np.isnan(columns["a"]).any()
    assert np.isnan(columns["b"]).any()
    assert "kind" not in columns or not np.isnan(columns["kind"]).any()


def test_proof_has_what_is_missing_and_what_lies_on_a_threshold(finish_once):
    case = finish_once("histogram.joblib").proof.cases[0]
    assert np.isnan(case.inputs["input"]).any()
    text = finish_once("words.joblib").proof.cases[0].inputs["text"]
    assert "" in text.tolist()
    assert any(not one.isascii() for one in text.tolist())
