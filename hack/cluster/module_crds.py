"""CustomResourceDefinitions of others, from the Go modules that bring them: nothing is built."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hack.cluster.errors import ClusterError


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Much faster, where PyYAML was built with it. A bare `=` is a string, as it is to Kubernetes."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_yaml_str)


def module_crds(module: str, folder: str) -> list[dict[str, Any]]:
    """Return the definitions in a folder of a Go module (`NAME@VERSION`), which is fetched once."""
    # Outside every module, so that no go.mod has a say.
    with tempfile.TemporaryDirectory() as outside:
        command = ["go", "mod", "download", "-json", module]
        result = subprocess.run(command, cwd=outside, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"cannot fetch {module}: {result.stderr or result.stdout}")
    files = sorted(Path(json.loads(result.stdout)["Dir"], folder).glob("*.yaml"))
    found = [one for file in files for one in yaml.load_all(file.read_text(encoding="utf-8"), _Loader)]
    return [one for one in found if one and one["kind"] == "CustomResourceDefinition"]
