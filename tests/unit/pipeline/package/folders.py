"""Folders with real models in them."""

from pathlib import Path

from tests.integration.fetch.fetch_models import WEIGHTS, make_model

PLAIN, NAMED = make_model(), make_model("model.onnx.data")
MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\n"
    "of this software"
)
FILES = {
    "LICENSE": MIT.encode(),
    "README.md": "---\nlicense: mit\nmodel_name: Grüße\n---\n# Grüße\n".encode(),
    "config.json": b"{}",
    "model.onnx": NAMED,
    "model.onnx.data": WEIGHTS,
    "parity.json": b"{}",
    "tokenizer/tokenizer.json": b"{}",
    "train.py": b"print()\n",
    "rows.csv": b"a,b\n1,2\n",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
