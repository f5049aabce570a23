"""A release for some namespaces: Roles there, and nothing that belongs to the cluster but the definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from tests.support.chart import Loader
from tests.support.release import CHART, Release, run_helm

from modelservice_activator.settings import parse_settings as parse_activator
from modelservice_autoscaler.settings import parse_settings as parse_autoscaler
from modelservice_operator.process.runtimes_file import load_runtimes
from modelservice_operator.settings import parse_settings

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER_SCOPED = {"modelruntimes", "runtimerollouts", "runtimerollouts/status", "gatewayclasses", "nodes"}
NAME = "modelservice-operator"


@pytest.fixture(scope="module")
def release() -> Release:
    """One that serves its own namespace too, twice by mistake."""
    return Release.render(
        "system",
        operator__watchNamespaces=("mail", "system", "mail"),
        **{"operator__runtimes[0]__name": "small", "operator__runtimes[0]__spec__image": "other/small:1"},
    )


def test_release_has_roles_in_its_namespaces_and_none_in_the_cluster(release: Release) -> None:
    assert not list(release.of_kinds("ClusterRole", "ClusterRoleBinding", "ModelRuntime"))
    places = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in release.of_kinds("Role")}
    models = {f"{NAME}-models", f"{NAME}-autoscaler-models", f"{NAME}-activator-models"}
    assert places == {
        *((namespace, name) for namespace in ("mail", "system") for name in models),
        ("system", NAME),
        ("system", f"{NAME}-autoscaler"),
    }
    for binding in release.of_kinds("RoleBinding"):
        assert binding["roleRef"]["kind"] == "Role"
        assert (binding["metadata"]["namespace"], binding["roleRef"]["name"]) in places
        assert {one["namespace"] for one in binding["subjects"]} == {"system"}


def test_roles_are_the_rules_of_the_cluster_roles_without_what_belongs_to_the_cluster(
    release: Release,
) -> None:
    everywhere = Release.render("system")
    for name in (NAME, f"{NAME}-autoscaler", f"{NAME}-activator"):
        limited = release.find_in("mail", "Role", f"{name}-models")["rules"]
        assert not {plural for rule in limited for plural in rule["resources"]} & CLUSTER_SCOPED
        whole = [
            {**rule, "resources": [one for one in rule["resources"] if one not in CLUSTER_SCOPED]}
            for rule in everywhere.find("ClusterRole", name)["rules"]
        ]
        assert limited == [rule for rule in whole if rule["resources"]]


def test_programs_serve_the_namespaces_with_the_runtimes_of_the_release(
    release: Release, tmp_path: Path
) -> None:
    settings = parse_settings(release.arguments(NAME), {})
    assert settings.namespaces == ("mail", "system")
    assert parse_autoscaler(release.arguments(f"{NAME}-autoscaler"), {}).namespaces == settings.namespaces
    assert parse_activator(release.arguments(f"{NAME}-activator"), {}).namespaces == settings.namespaces

    pod = release.find("Deployment", NAME)["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if "configMap" in one]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == volume["name"]]
    data = release.find("ConfigMap", volume["configMap"]["name"])["data"]
    ((key, text),) = data.items()
    assert settings.runtimes_file == f"{mount['mountPath']}/{key}"
    file = tmp_path / key
    file.write_text(text)
    assert [one["metadata"]["name"] for one in load_runtimes(str(file))] == ["onnx", "small"]


def test_other_runtimes_start_the_operator_anew() -> None:
    pods = [
        Release.render("system", operator__watchNamespaces=["a"], defaultRuntime__image__tag=tag).find(
            "Deployment", NAME
        )["spec"]["template"]["metadata"]["annotations"]
        for tag in ("v1", "v1", "v2")
    ]
    assert pods[0] == pods[1] != pods[2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("operator.watchNamespace=mail", "set operator.watchNamespaces={mail} instead"),
        ("operator.watchNamespaces={mail},defaultRuntime.install=false", "set defaultRuntime.install=true"),
    ],
)
def test_values_that_cannot_work_are_refused_with_what_to_set(options: str, sentence: str) -> None:
    result = run_helm("template", "r", str(CHART), "--set", options)
    assert result.returncode != 0
    assert sentence in result.stderr


def test_empty_old_value_is_taken_as_it_was() -> None:
    result = run_helm("template", "r", str(CHART), "--set", "operator.watchNamespace=")
    assert result.returncode == 0, result.stderr
    assert "ClusterRole" in {one["kind"] for one in yaml.load_all(result.stdout, Loader) if one}
