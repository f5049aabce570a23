"""Values that platform teams set: where pods run, what marks objects, whose images, what monitors them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import (
    CHART,
    MODEL_RUNTIME_API,
    MONITORING_API,
    NAMESPACE,
    Chart,
    Object,
    RefusedValuesError,
    find_object,
)

from modelservice_operator.facts import labels

COMPONENTS = {
    "operator": "modelservice-operator",
    "autoscaler": "modelservice-operator-autoscaler",
    "activator": "modelservice-operator-activator",
}
EVERYTHING = {
    "crds": {"install": True},
    "namespace": {"create": True},
    "monitoring": {"enabled": True},
    "priorityClass": {"create": True},
}
SHARED = {"FIRST": "a", "BOTH": "shared", "SECOND": "b"}
ALERTS = {
    "groups": [
        {
            "name": "modelservice",
            "rules": [
                {
                    "alert": "Down",
                    "expr": "up == 0",
                    "labels": {"severity": "warning", "team": "none"},
                    "annotations": {
                        "summary": "{{ $labels.pod }} is down",
                        "runbook_url": "__RUNBOOK_BASE__#down",
                    },
                },
                {"alert": "Slow", "expr": "1"},
                {"record": "modelservice:up", "expr": "sum(up)"},
            ],
        },
        {"name": "other", "rules": [{"alert": "Late", "expr": "1"}]},
    ]
}


@pytest.fixture(scope="module")
def filled(chart: Chart, tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """The chart with two dashboards and three alerts of the tests' own."""
    folder = tmp_path_factory.mktemp("chart") / CHART.name
    shutil.copytree(CHART, folder, ignore=shutil.ignore_patterns("dashboards", "alerts.yaml"))
    (folder / "files/alerts.yaml").write_text(yaml.dump(ALERTS))
    (folder / "files/dashboards").mkdir()
    for name in ("fleet", "service"):
        text = json.dumps({"name": name, "legend": "{{pod}}"}, indent=2) + "\n"
        (folder / f"files/dashboards/{name}.json").write_text(text)
    return replace(chart, folder=folder)


def pod_of(objects: list[Object], component: str) -> Object:
    template: Object = find_object(objects, "Deployment", COMPONENTS[component])["spec"]["template"]
    return template


def container_of(objects: list[Object], component: str) -> Object:
    (container,) = pod_of(objects, component)["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_misspelt_key_is_refused_by_its_name(chart):
    with pytest.raises(RefusedValuesError, match=r"at '/operator'.*'worker'"):
        chart.render({"operator": {"worker": 3}})


def test_values_of_a_parent_chart_pass(chart):
    assert chart.render({"global": {"parents": {"own": 1}}}) == chart.render()


@pytest.mark.parametrize("watched", [[], ["team-a"]])
def test_common_labels_and_annotations_are_on_every_object_and_in_no_selector(filled, watched):
    marks = {
        "commonLabels": {"team": "ml", "app.kubernetes.io/part-of": "platform"},
        "commonAnnotations": {"example.com/owner": "ml"},
    }
    all_on = {**EVERYTHING, "dashboards": {"enabled": True}, "operator": {"watchNamespaces": watched}}
    plain, objects = filled.render(all_on), filled.render({**all_on, **marks})
    assert len(objects) == len(plain) > 25
    for before, after in zip(plain, objects, strict=True):
        name = after["kind"], after["metadata"]["name"]
        assert after["metadata"]["labels"].items() >= marks["commonLabels"].items(), name
        assert after["metadata"]["annotations"].items() >= marks["commonAnnotations"].items(), name
        spec: Any = after.get("spec", {})
        if after["kind"] == "Deployment":
            assert spec["template"]["metadata"]["labels"].items() >= marks["commonLabels"].items()
            assert "example.com/owner" not in spec["template"]["metadata"].get("annotations", {})
            del before["spec"]["template"]["metadata"], spec["template"]["metadata"]
        assert spec == before.get("spec", {}), name


def test_settings_of_all_pods_and_of_one_component(chart):
    for component in COMPONENTS:
        own = {
            "extraEnv": [{"name": "OWN", "value": component}, {"name": "BOTH", "value": component}],
            "podLabels": {"both": component},
            "podAnnotations": {"both": component},
            "priorityClassName": f"class-{component}",
            "nodeSelector": {"both": component},
            "tolerations": [{"key": component, "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
        }
        shared = {
            "extraEnv": [{"name": name, "value": value} for name, value in SHARED.items()],
            "podLabels": {"both": "shared", "shared": "a"},
            "podAnnotations": {"both": "shared", "shared": "b"},
            "priorityClassName": "class",
            "nodeSelector": {"both": "shared", "shared": "c"},
            "tolerations": [{"key": "shared", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
        }
        objects = chart.render({**shared, component: own})
        for other in COMPONENTS:
            chosen = other == component
            pod, env = pod_of(objects, other), container_of(objects, other)["env"]
            both = component if chosen else "shared"
            metadata, spec = pod["metadata"], pod["spec"]
            # The API server refuses a name that comes twice, and a value may name a variable before it.
            assert [(one["name"], one["value"]) for one in env[2:]] == (
                [("FIRST", "a"), ("SECOND", "b"), ("OWN", component), ("BOTH", component)]
                if chosen
                else [("FIRST", "a"), ("BOTH", "shared"), ("SECOND", "b")]
            )
            assert metadata["labels"].items() >= {"both": both, "shared": "a"}.items()
            assert metadata["annotations"] == {"both": both, "shared": "b"}
            assert spec["priorityClassName"] == (f"class-{component}" if chosen else "class")
            assert spec["nodeSelector"] == {"both": both, "shared": "c"}
            assert [one["key"] for one in spec["tolerations"]] == ["shared", *([component] if chosen else [])]
            assert spec["affinity"] == ({"podAntiAffinity": {}} if chosen else {"nodeAffinity": {}})
            assert len(spec["topologySpreadConstraints"]) == 1


def test_labels_of_pods_never_replace_those_that_selectors_need(chart):
    for objects in (chart.render({"podLabels": {"app.kubernetes.io/version": "mine"}}), chart.render()):
        for component, name in COMPONENTS.items():
            selector = find_object(objects, "Deployment", name)["spec"]["selector"]["matchLabels"]
            assert pod_of(objects, component)["metadata"]["labels"].items() >= selector.items()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "modelservice/operator:0.1.0"),
        ({"image": {"tag": "2"}}, "modelservice/operator:2"),
        ({"image": {"tag": "2", "digest": f"sha256:{'a' * 64}"}}, f"modelservice/operator@sha256:{'a' * 64}"),
        ({"global": {"imageRegistry": "mirror:5000/"}}, "mirror:5000/modelservice/operator:0.1.0"),
    ],
)
def test_image_of_components(chart, values, expected):
    objects = chart.render(values)
    assert {container_of(objects, component)["image"] for component in COMPONENTS} == {expected}


def test_registry_and_credentials_reach_the_model_servers_too(chart):
    values = {
        "global": {"imageRegistry": "mirror", "imagePullSecrets": [{"name": "all"}]},
        "imagePullSecrets": [{"name": "ours"}],
        "defaultRuntime": {"gpuImage": {"repository": "gpu"}, "imagePullSecrets": [{"name": "models"}]},
    }
    objects = chart.render(values, apis=(MODEL_RUNTIME_API,))
    runtime = find_object(objects, "ModelRuntime", "onnx")["spec"]
    assert (runtime["image"], runtime["gpuImage"]) == (
        "mirror/modelservice/runtime:0.1.0",
        "mirror/gpu:0.1.0",
    )
    assert runtime["imagePullSecrets"] == [{"name": "all"}, {"name": "models"}]
    for component in COMPONENTS:
        assert pod_of(objects, component)["spec"]["imagePullSecrets"] == [{"name": "all"}, {"name": "ours"}]


def test_a_secret_or_taint_that_all_pods_have_and_one_names_again_comes_once(chart):
    """The API server refuses an apply in which a list of named things has a name twice."""
    secrets, taints = [{"name": "mirror"}], [{"key": "system", "operator": "Exists"}]
    values = {
        "global": {"imagePullSecrets": secrets},
        "imagePullSecrets": secrets,
        "defaultRuntime": {"imagePullSecrets": secrets},
        "tolerations": taints,
        "activator": {"tolerations": taints},
    }
    objects = chart.render(values, apis=(MODEL_RUNTIME_API,), tests=True)
    assert find_object(objects, "ModelRuntime", "onnx")["spec"]["imagePullSecrets"] == secrets
    assert find_object(objects, "Pod", "modelservice-operator-test")["spec"]["imagePullSecrets"] == secrets
    for component in COMPONENTS:
        assert pod_of(objects, component)["spec"]["imagePullSecrets"] == secrets
        assert pod_of(objects, component)["spec"]["tolerations"] == taints


def test_priority_class_is_made_and_used_unless_another_is_named(chart):
    made = {"priorityClass": {"create": True, "name": "", "value": -5, "preemptionPolicy": "Never"}}
    objects = chart.render({**made, "activator": {"priorityClassName": "other"}})
    priority = find_object(objects, "PriorityClass")
    assert (priority["value"], priority["preemptionPolicy"]) == (-5, "Never")
    classes = {component: pod_of(objects, component)["spec"]["priorityClassName"] for component in COMPONENTS}
    assert classes == {
        "operator": "modelservice-operator",
        "autoscaler": "modelservice-operator",
        "activator": "other",
    }
    assert "priorityClassName" not in pod_of(chart.render(), "operator")["spec"]


@pytest.mark.parametrize(
    ("enabled", "served", "made"),
    [("auto", False, False), ("auto", True, True), (True, False, True), (False, True, False)],
)
def test_monitors_are_made_where_their_kinds_are_served_or_by_force(filled, enabled, served, made):
    objects = filled.render(
        {"monitoring": {"enabled": enabled, "labels": {"release": "kps"}}},
        apis=(MONITORING_API,) if served else (),
    )
    monitors = [one for one in objects if one["apiVersion"] == MONITORING_API]
    assert [one["kind"] for one in monitors] == ["PodMonitor", "PodMonitor", "PrometheusRule"] * made
    assert all(one["metadata"]["labels"]["release"] == "kps" for one in monitors)
    assert all(one["metadata"]["namespace"] == NAMESPACE for one in monitors)


def test_monitor_of_components_finds_their_pods_by_a_port_that_they_have(chart):
    objects = chart.render({"monitoring": {"enabled": True, "interval": "15s"}})
    monitor = find_object(objects, "PodMonitor")["spec"]
    (names,) = monitor["selector"]["matchExpressions"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint == {"port": "http", "path": "/metrics", "interval": "15s", "honorLabels": True}
    for component in COMPONENTS:
        marks = pod_of(objects, component)["metadata"]["labels"]
        assert marks.items() >= monitor["selector"]["matchLabels"].items()
        assert marks[names["key"]] in names["values"]
        assert "http" in [port["name"] for port in container_of(objects, component)["ports"]]


@pytest.mark.parametrize("watched", [[], ["team-b", "team-a"]])
def test_monitor_of_model_servers_covers_the_served_namespaces(chart, watched):
    values = {"monitoring": {"enabled": True}, "operator": {"watchNamespaces": watched}}
    monitor = find_object(chart.render(values), "PodMonitor", "modelservice-operator-models")["spec"]
    assert monitor["namespaceSelector"] == ({"matchNames": watched} if watched else {"any": True})
    assert monitor["podMetricsEndpoints"] == [{"port": "metrics", "path": "/metrics"}]
    assert monitor["podTargetLabels"] == [labels.NAME, labels.REVISION]


def test_alerts_get_labels_and_can_be_left_out(filled):
    values = {
        "monitoring": {"enabled": True},
        "alerts": {
            "labels": {"team": "ml"},
            "disabled": ["Slow", "Late"],
            "runbookUrl": "https://docs.example/runbooks/",
        },
    }
    (group,) = find_object(filled.render(values), "PrometheusRule")["spec"]["groups"]
    down, recorded = group["rules"]
    assert down["labels"] == {"severity": "warning", "team": "ml"}
    assert down["annotations"] == {
        "summary": "{{ $labels.pod }} is down",
        "runbook_url": "https://docs.example/runbooks/#down",
    }
    assert recorded == {"record": "modelservice:up", "expr": "sum(up)"}
    values["alerts"]["enabled"] = False
    assert "PrometheusRule" not in {one["kind"] for one in filled.render(values)}


@pytest.mark.parametrize("monitoring", [True, False])
def test_alert_that_is_left_out_by_a_misspelt_name_is_refused_with_the_names_there_are(filled, monitoring):
    values = {"monitoring": {"enabled": monitoring}, "alerts": {"disabled": ["Slow", "Laet"]}}
    with pytest.raises(
        RefusedValuesError, match=r"alerts\.disabled: there is no alert Laet; .* Down, Late, Slow"
    ):
        filled.render(values)


def test_alerts_of_the_chart_lead_to_runbooks_where_they_are(chart):
    values = {"monitoring": {"enabled": True}, "alerts": {"runbookUrl": "https://docs.example/runbooks"}}
    rules = [
        rule
        for group in find_object(chart.render(values), "PrometheusRule")["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(rules) > 20
    for rule in rules:
        address = f"https://docs.example/runbooks#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == address


def test_dashboards_are_config_maps_that_the_sidecar_finds(filled):
    assert "ConfigMap" not in {one["kind"] for one in filled.render()}
    objects = filled.render({"dashboards": {"enabled": True, "namespace": "grafana"}})
    maps = [one for one in objects if one["kind"] == "ConfigMap"]
    assert [one["metadata"]["name"].rpartition("-")[2] for one in maps] == ["fleet", "service"]
    for one in maps:
        ((file, text),) = one["data"].items()
        assert text == (Path(filled.folder) / "files/dashboards" / file).read_text()
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"grafana_folder": "ModelService"}
        assert one["metadata"]["namespace"] == "grafana"
