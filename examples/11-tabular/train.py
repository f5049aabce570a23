"""Trains an XGBoost model on rows with missing values: `python train.py train.csv booster.json`.

XGBoost may be where this runs; else it runs again in the environment that models of XGBoost are converted in.
"""

import csv
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

CLASSES = ("malignant", "benign")


def main() -> None:
    """Train and save."""
    if find_spec("xgboost") is None:
        from modelservice_pipeline.convert.environments import prepare
        from modelservice_pipeline.convert.frameworks import CLASSICAL

        subprocess.run([prepare(CLASSICAL), *sys.argv], check=True)
        return
    source, target = map(Path, sys.argv[1:])
    values, labels = read(source)
    from xgboost import XGBClassifier

    # Many small trees; an empty cell takes the branch that training found best.
    model = XGBClassifier(
        n_estimators=300,
        max_depth=3,
        learning_rate=0.1,
        subsample=0.8,
        colsample_bytree=0.5,
        random_state=0,
        n_jobs=1,
    )
    model.fit(values, labels)
    model.save_model(target)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the values, float32 [rows, columns] with NaN for empty cells, and the numbers of the classes."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "label"]
    values = np.array([[float(row[name] or "nan") for name in names] for row in rows], np.float32)
    return values, np.array([CLASSES.index(row["label"]) for row in rows])


if __name__ == "__main__":
    main()
