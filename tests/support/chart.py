"""The Helm chart, rendered by the real helm as a user renders it."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "modelservice-operator"
RELEASE = "modelservice-operator"
NAMESPACE = "modelservice-system"
MODEL_RUNTIME_API = "modelservice.dev/v1alpha1/ModelRuntime"
MONITORING_API = "monitoring.coreos.com/v1"

# Twenty times as fast, where PyYAML was built with it: the definitions are large.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Object = dict[str, Any]


class RefusedValuesError(Exception):
    """helm would not render; the message is what it said."""


@dataclass(frozen=True)
class Chart:
    """A chart's folder and the program that renders it."""

    helm: Path
    folder: Path = CHART

    def render(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        apis: tuple[str, ...] = (),
        release: str = RELEASE,
        tests: bool = False,
    ) -> list[Object]:
        """Return the objects of a release with these values in a cluster that serves `apis` beside its own.

        Without the definitions, unless `values` says otherwise: they take most of the time. `tests` are the
        objects of `helm test`.
        """
        values = {"crds": {"install": False}, **(values or {})}
        options = [option for api in apis for option in ("--api-versions", api)]
        options += [] if tests else ["--skip-tests"]
        command = [str(self.helm), "template", release, str(self.folder), "--namespace", NAMESPACE, *options]
        result = subprocess.run(
            [*command, "--values", "-"], input=yaml.dump(values), capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise RefusedValuesError(result.stderr)
        return [document for document in yaml.load_all(result.stdout, Loader) if document]


def arguments_of(container: Object, namespace: str = NAMESPACE) -> list[str]:
    """Return the arguments as the kubelet hands them to the program."""
    return [argument.replace("$(POD_NAMESPACE)", namespace) for argument in container["args"]]


def find_object(objects: list[Object], kind: str, name: str = RELEASE) -> Object:
    """Return the one object of a kind and name."""
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found
