"""The expressions for Flux that we ship: for what, and that the page about GitOps shows them."""

import textwrap

import yaml
from hack.generate.__main__ import ROOT


def test_every_kind_that_has_a_status_is_waited_for() -> None:
    definitions = [
        yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / "crds").glob("*.yaml")
    ]
    reported = {
        one["spec"]["names"]["kind"]
        for one in definitions
        if "status" in one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    }
    _, kustomization = yaml.safe_load_all((ROOT / "gitops/flux/models.yaml").read_text(encoding="utf-8"))

    assert {one["kind"] for one in kustomization["spec"]["healthCheckExprs"]} == reported
    assert len(reported) == 2


def test_page_shows_the_expressions_of_the_kustomization() -> None:
    page = (ROOT / "docs/gitops.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(textwrap.dedent(page.split("```yaml\n")[1].split("```")[0]))
    _, kustomization = yaml.safe_load_all((ROOT / "gitops/flux/models.yaml").read_text(encoding="utf-8"))

    assert shown == {key: kustomization["spec"][key] for key in shown}
