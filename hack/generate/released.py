"""Keep a release's definitions, and manifests that it takes: `python -m hack.generate.released VERSION`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import yaml
from hack.generate.crds import PlainDumper
from tests.support.manifests import model_runtime_cases, model_service_cases, runtime_rollout_cases

ROOT = Path(__file__).parents[2]
HEADER = "# Manifests that this release takes, each with a feature of its API. Later ones take them too.\n"


def main(version: str) -> None:
    """Write the folder of a release."""
    folder = ROOT / "crds" / "released" / version
    folder.mkdir(parents=True)
    for name in ("modelservices.yaml", "modelruntimes.yaml", "runtimerollouts.yaml"):
        shutil.copy(ROOT / "crds" / name, folder / name)
    cases = (*model_service_cases(), *model_runtime_cases(), *runtime_rollout_cases())
    good = [case.manifest for case in cases if not case.refused]
    text = yaml.dump_all(good, Dumper=PlainDumper, sort_keys=False, width=110, default_flow_style=None)
    (folder / "manifests.yaml").write_text(HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
