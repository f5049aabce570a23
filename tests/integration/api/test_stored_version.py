"""The commands of docs/upgrading.md for a new stored version, as they stand there, on a real API server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.integration.api.conftest import ROOT, is_established
from tests.support.manifests import SMALLEST_SPECS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

NEW, OLD = "v1beta1", "v1alpha1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}.modelservice.dev"
PLURALS = {
    "ModelService": "modelservices",
    "ModelRuntime": "modelruntimes",
    "RuntimeRollout": "runtimerollouts",
}
OF_THE_CLUSTER = ("modelruntimes", "runtimerollouts")


def commands(heading: str) -> list[str]:
    """The shell commands below a heading of the page."""
    page = (ROOT / "docs/upgrading.md").read_text(encoding="utf-8")
    section = re.split(r"^#+ ", page.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^ *```sh\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)


def run(cluster: Cluster, script: str, stdin: str | None = None) -> str:
    found = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        input=stdin,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(cluster.kubeconfig),
            "HOME": os.environ["HOME"],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert found.returncode == 0, f"{script}\n{found.stderr}"
    return found.stdout


def store_in(cluster: Cluster, version: str) -> None:
    """What a release does that stores another version."""
    for plural in PLURALS.values():
        crd = yaml.safe_load((ROOT / f"crds/{plural}.yaml").read_text(encoding="utf-8"))
        for one in crd["spec"]["versions"]:
            one["storage"] = one["name"] == version
        applied = cluster.api.apply(crd)
        cluster.api.wait_for(cluster.api.path_of(applied), is_established)


def stored_versions(cluster: Cluster) -> list[list[str]]:
    return [cluster.api.get(CRDS.format(one))["status"]["storedVersions"] for one in PLURALS.values()]


def say_stored(cluster: Cluster, version: str) -> None:
    for plural in PLURALS.values():
        status = {"status": {"storedVersions": [version]}}
        cluster.api.patch(CRDS.format(plural) + "/status", status)


@pytest.fixture
def newer_release(crds: Cluster, namespace: str) -> Iterator[Cluster]:
    """Objects in both versions as a release stored them, and a release that stores the newer one."""
    for kind, plural in PLURALS.items():
        for version in (OLD, NEW):
            manifest = {
                "apiVersion": f"modelservice.dev/{version}",
                "kind": kind,
                "metadata": {"name": f"{namespace}-{version}"},
                "spec": SMALLEST_SPECS[kind],
            }
            scope = f"--namespace={namespace}" if plural == "modelservices" else ""
            run(crds, f"kubectl apply {scope} -f -", yaml.safe_dump(manifest))
    assert stored_versions(crds) == [[OLD]] * len(PLURALS)
    store_in(crds, NEW)
    try:
        yield crds
    finally:
        store_in(crds, OLD)
        run(crds, commands("### When the stored version changes")[1])
        say_stored(crds, OLD)
        for version in (OLD, NEW):
            for plural in OF_THE_CLUSTER:
                crds.api.delete(f"/apis/modelservice.dev/{OLD}/{plural}/{namespace}-{version}")


def generations(cluster: Cluster, namespace: str) -> dict[str, Any]:
    paths = (f"namespaces/{namespace}/modelservices", *OF_THE_CLUSTER)
    return {
        f"{path}/{one['metadata']['name']}": (one["metadata"]["generation"], one["spec"])
        for path in paths
        for one in cluster.api.get(f"/apis/modelservice.dev/{OLD}/{path}")["items"]
    }


def test_stored_version_is_changed_by_the_commands_of_the_page(
    newer_release: Cluster, namespace: str
) -> None:
    look, rewrite, declare = commands("### When the stored version changes")
    before = generations(newer_release, namespace)
    assert len(before) >= 2 * len(PLURALS)
    assert OLD in run(newer_release, look)
    rewritten = run(newer_release, rewrite)
    assert f"modelservice.modelservice.dev/{namespace}-{OLD} replaced" in rewritten
    assert generations(newer_release, namespace) == before
    run(newer_release, declare)
    assert stored_versions(newer_release) == [[NEW]] * len(PLURALS)
    rows = run(newer_release, look).splitlines()[1:]
    assert [line.split()[1] for line in rows] == [f"[{NEW}]"] * len(PLURALS)


def test_columns_of_the_page_show_who_uses_the_newer_fields(crds: Cluster, namespace: str) -> None:
    manifest = {
        "apiVersion": f"modelservice.dev/{NEW}",
        "kind": "ModelService",
        "metadata": {"name": "guarded", "namespace": namespace},
        "spec": {**SMALLEST_SPECS["ModelService"], "auth": {"apiKeys": {"secretName": "spam-keys"}}},
    }
    run(crds, "kubectl apply -f -", yaml.safe_dump(manifest))
    (columns,) = [one for one in commands("## Up and down") if "AUTH:" in one]
    (row,) = [line for line in run(crds, columns).splitlines() if line.startswith(namespace)]
    assert "spam-keys" in row
