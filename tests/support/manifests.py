"""The table of good and bad manifests in tests/data/api, for tests of models and API server."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.chart import Loader

DATA = Path(__file__).parents[1] / "data" / "api"
SMALLEST_SPECS = {
    "ModelService": {"model": {"storageUri": "oci://registry.example/models/spam:3"}},
    "ModelRuntime": {"image": "registry.example/modelservice-runtime:1"},
    "RuntimeRollout": {"target": {"runtime": "onnx"}},
}


@dataclass(frozen=True)
class Case:
    """One manifest; `refused` is empty for a good one, else path -> {server, python} sentence."""

    name: str
    manifest: dict[str, Any]
    refused: dict[str, dict[str, str]]

    def missing_sentences(self, answer: str, side: str) -> list[str]:
        """Return the expected sentences that `answer` does not hold behind their path."""
        return [
            f"{path}: {sentences[side]}"
            for path, sentences in self.refused.items()
            if not re.search(rf"{re.escape(path)}[^:]*: .*{re.escape(sentences[side])}", answer, re.DOTALL)
            and f'{sentences[side]} "{path}"' not in answer  # strict decoding error: unknown field "spec.x"
        ]


def model_service_cases() -> list[Case]:
    return _cases("modelservices.yaml", "ModelService")


def model_runtime_cases() -> list[Case]:
    return _cases("modelruntimes.yaml", "ModelRuntime")


def runtime_rollout_cases() -> list[Case]:
    return _cases("runtimerollouts.yaml", "RuntimeRollout")


def _cases(file: str, kind: str) -> list[Case]:
    entries = yaml.load((DATA / file).read_text(encoding="utf-8"), Loader)
    return [_case(entry, kind) for entry in entries]


def _case(entry: dict[str, Any], kind: str) -> Case:
    manifest = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": entry["name"]} | entry.get("metadata", {}),
        "spec": merge_patch(SMALLEST_SPECS[kind], entry.get("spec", {})),
    }
    refused = {
        path: {"server": sentence, "python": sentence} if isinstance(sentence, str) else sentence
        for path, sentence in entry.get("refused", {}).items()
    }
    return Case(entry["name"], manifest, refused)


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` changed by a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
