"""The page about GitOps shows the expressions that we ship."""

import textwrap

import yaml
from hack.generate.__main__ import ROOT


def test_page_shows_the_expressions_of_the_kustomization() -> None:
    page = (ROOT / "docs/gitops.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(textwrap.dedent(page.split("```yaml\n")[1].split("```")[0]))
    _, kustomization = yaml.safe_load_all((ROOT / "gitops/flux/models.yaml").read_text(encoding="utf-8"))

    assert shown == {key: kustomization["spec"][key] for key in shown}
