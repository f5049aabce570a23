"""The examples for Argo CD and Flux give the chart values that it takes, and name what there is."""

from pathlib import Path
from typing import Any

import yaml
from tests.support.chart import ROOT, Chart, find_object

GITOPS = ROOT / "gitops"


def documents(path: str) -> dict[str, Any]:
    text = Path(GITOPS, path).read_text(encoding="utf-8")
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def check(chart: Chart, values: dict[str, Any]) -> None:
    (container,) = find_object(chart.render(values), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example.com/")


def test_helm_release_of_flux_has_values_of_the_chart(chart: Chart) -> None:
    found = documents("flux/operator.yaml")
    check(chart, found["HelmRelease"]["spec"]["values"])
    assert found["HelmRelease"]["spec"]["chartRef"]["name"] == found["OCIRepository"]["metadata"]["name"]


def test_application_of_argo_cd_has_values_of_the_chart(chart: Chart) -> None:
    source, _ = documents("argocd/application.yaml")["Application"]["spec"]["sources"]
    check(chart, source["helm"]["valuesObject"])
    assert source["chart"] == yaml.safe_load((chart.folder / "Chart.yaml").read_text())["name"]
