"""The plugin that MLflow finds by the entry point `mlflow.deployments`.

https://mlflow.org/docs/latest/plugins/ ("Deployment plugins"). It does what `modelservice model deploy` does.
"""

from typing import Any

from mlflow.artifacts import download_artifacts
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException

from modelservice_cli.deploy.apply import Place, apply_and_follow, find_cluster
from modelservice_cli.deploy.prepare import prepare
from modelservice_cli.errors import CommandError
from modelservice_cli.mlflow.ask import ask
from modelservice_cli.mlflow.target import HELP, parse_config, parse_namespace
from modelservice_cli.rollout.cluster.errors import NotFoundError
from modelservice_pipeline.errors import PipelineError

_FLAVOR = "onnx"
Object = dict[str, Any]


def target_help() -> str:
    """Return what `mlflow deployments help` shows."""
    return HELP


def run_local(target: str, name: str, model_uri: str, flavor: str | None = None, config: Any = None) -> None:  # noqa: ARG001 - MLflow's signature
    """Refuse: there is a command for this machine."""
    raise MlflowException("on this machine: modelservice serve --model NAME=model.onnx")


class ModelServiceClient(BaseDeploymentClient):  # type: ignore[misc]
    """Deployments of one namespace; a deployment is a ModelService."""

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: Any = None, endpoint: Any = None
    ) -> Object:
        """Serve a model; MlflowException where it cannot be."""
        _refuse_endpoint(endpoint)
        if flavor not in (None, _FLAVOR):
            raise MlflowException(f"the flavor {flavor} is not served: expected onnx")
        try:
            arguments = parse_config(download_artifacts(model_uri), name, self._namespace(), config)
            place = find_cluster(arguments)
            code = apply_and_follow(arguments, place, prepare(arguments, place.namespace))
        except (CommandError, PipelineError) as error:
            raise MlflowException(str(error)) from None
        if code != 0:
            raise MlflowException(f"{name} is not served: see 'modelservice rollout status {name}'")
        return {"name": name, "flavor": _FLAVOR}

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Any = None,
        endpoint: Any = None,
    ) -> Object:
        """Serve another model, or the same with other flags of `config`."""
        if model_uri is None:
            raise MlflowException("say which model is served: -m models:/NAME/VERSION")
        self.get_deployment(name)
        return self.create_deployment(name, model_uri, flavor, config, endpoint)

    def delete_deployment(self, name: str, config: Any = None, endpoint: Any = None) -> None:
        """Remove it; one that is not there is no failure."""
        _refuse_endpoint(endpoint)
        place = self._place(config)
        try:
            place.cluster.delete_service(place.namespace, name)
        except NotFoundError:
            return
        except CommandError as error:
            raise MlflowException(str(error)) from None

    def list_deployments(self, endpoint: Any = None) -> list[Object]:
        """Return all of the namespace."""
        _refuse_endpoint(endpoint)
        place = self._place(None)
        try:
            return [_describe(one) for one in place.cluster.list_services(place.namespace)]
        except CommandError as error:
            raise MlflowException(str(error)) from None

    def get_deployment(self, name: str, endpoint: Any = None) -> Object:
        """Return one."""
        _refuse_endpoint(endpoint)
        place = self._place(None)
        try:
            return _describe(place.cluster.read_service(place.namespace, name))
        except CommandError as error:
            raise MlflowException(str(error)) from None

    def predict(self, deployment_name: str | None = None, inputs: Any = None, endpoint: Any = None) -> Any:
        """Ask one, through the API server; returns MLflow's response, with outputs by name as lists."""
        _refuse_endpoint(endpoint)
        if deployment_name is None:
            raise MlflowException("say which deployment is asked: --name NAME")
        try:
            return PredictionsResponse(predictions=ask(deployment_name, self._namespace(), inputs))
        except (CommandError, PipelineError) as error:
            raise MlflowException(str(error)) from None

    def _place(self, config: Any) -> Place:
        try:
            return find_cluster(parse_config(".", None, self._namespace(), config))
        except CommandError as error:
            raise MlflowException(str(error)) from None

    def _namespace(self) -> str | None:
        try:
            return parse_namespace(self.target_uri)
        except CommandError as error:
            raise MlflowException(str(error)) from None


def _describe(service: Object) -> Object:
    status, model = service.get("status") or {}, service["spec"]["model"]
    ready: Object = next((one for one in status.get("conditions") or () if one.get("type") == "Ready"), {})
    return {
        "name": service["metadata"]["name"],
        "ready": ready.get("status") == "True",
        "message": ready.get("message", ""),
        "url": status.get("url", ""),
        "storage_uri": model.get("storageUri", ""),
        "sha256": model.get("sha256", ""),
    }


def _refuse_endpoint(endpoint: Any) -> None:
    if endpoint is not None:
        raise MlflowException("there are no endpoints here: a deployment is a ModelService of its own")
