"""Writes the rows of the example: measurements of cells, some of them missing, and what the cells were.

They are the breast cancer data of Wolberg, Street and Mangasarian (1995), which scikit-learn carries. A
twentieth of the cells is emptied, as in tables that people fill in.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

_SEED = 0
_MISSING = 0.05


def main() -> None:
    """Write train.csv, test.csv and samples.csv, which has no labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the files go")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    data = load_breast_cancer()
    values = data.data.astype(np.float32)
    values[np.random.default_rng(_SEED).random(values.shape) < _MISSING] = np.nan
    names = [name.replace(" ", "_") for name in data.feature_names]
    labels = data.target_names[data.target]
    train, test = train_test_split(
        np.arange(len(values)), test_size=0.4, random_state=_SEED, stratify=data.target
    )
    for name, rows in (("train.csv", train), ("test.csv", test)):
        _write(folder / name, [*names, "label"], values[rows], labels[rows][:, np.newaxis])
    _write(folder / "samples.csv", names, values[test], np.empty((len(test), 0)))


def _write(path: Path, names: list[str], values: np.ndarray, labels: np.ndarray) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row, said in zip(values, labels, strict=True):
            writer.writerow([*("" if np.isnan(value) else f"{value:.9g}" for value in row), *said])


if __name__ == "__main__":
    main()
