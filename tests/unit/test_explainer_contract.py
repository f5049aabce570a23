"""What the operator writes into an explainer's pod is what the explainer in that pod understands."""

from importlib.util import find_spec
from typing import Any

import pytest
from tests.unit.operator.builders import DEFAULT_RUNTIME, NOW, make_model_service, make_observed
from tests.unit.operator.specs import SPECS

from modelservice_operator.decide.decide import decide
from modelservice_operator.decide.resources.explainer import explain_path
from modelservice_operator.explain.explainer import explainer_status
from modelservice_pipeline.explainer.__main__ import parse_arguments
from modelservice_pipeline.explainer.server import Explainer, Settings

EXPLAINED = [name for name, spec in SPECS.items() if "explainer" in spec]


def container_of(spec: dict[str, Any]) -> dict[str, Any]:
    desired = decide(make_observed(make_model_service(**spec), DEFAULT_RUNTIME), NOW).desired
    (pod,) = (
        one["spec"]["template"]["spec"]
        for one in desired
        if one["metadata"]["name"] == "spam-explainer" and one["kind"] == "Deployment"
    )
    (container,) = pod["containers"]
    return dict(container)


@pytest.mark.parametrize("name", EXPLAINED)
def test_arguments_of_every_spec_are_understood(name: str) -> None:
    container = container_of(SPECS[name])
    arguments = parse_arguments(container["args"])
    assert container["command"][:2] == ["python", "-m"]
    assert find_spec(f"{container['command'][2]}.__main__")
    assert arguments.port == container["ports"][0]["containerPort"]
    assert arguments.method == SPECS[name]["explainer"].get("method", "lime")


@pytest.mark.parametrize("name", EXPLAINED)
async def test_paths_of_status_and_probes_are_answered(name: str) -> None:
    container = container_of(SPECS[name])
    settings = Settings(parse_arguments(container["args"]).url, "lime")
    application = Explainer(settings).make_application()
    observed = make_observed(make_model_service(**SPECS[name]), DEFAULT_RUNTIME)
    status = explainer_status(observed, decide(observed, NOW))
    assert status is not None
    asked = status["url"].partition(".svc")[2]
    assert asked == explain_path(settings.model)
    paths = [("POST", asked)]
    paths += [("GET", container[probe]["httpGet"]["path"]) for probe in ("readinessProbe", "livenessProbe")]
    for method, path in paths:
        found = [
            route
            for route in application.router.routes()
            if route.method == method and route.resource is not None and match(route.resource, path)
        ]
        assert found, path


def match(resource: Any, path: str) -> bool:
    return resource._match(path) is not None
