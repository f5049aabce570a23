"""All that the command line asks of an API server. Objects are dicts, as the server wrote them."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import urllib3
from kubernetes.client import ApiClient, ApiException, CoreV1Api, CustomObjectsApi

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.errors import (
    ChangedMeanwhileError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from modelservice_cli.rollout.cluster.kubeconfig import Access
from modelservice_operator.facts.kinds import MODEL_SERVICES, RUNTIME_ROLLOUTS, Resource
from modelservice_operator.facts.labels import GROUP, NAME, VERSION

FIELD_MANAGER = "modelservice-cli"
"""Who a write of ours is by, in `metadata.managedFields`."""
_TIMEOUT_SECONDS = (5, 30)
"""For the connection and for the answer: a person waits, or a pipeline."""
_POD_TIMEOUT_SECONDS = (5, 5)
"""The same where a pod is asked behind it: the others are not to wait for one that hangs."""
_TRIES_MAY_HELP = frozenset({408, 429, 500, 502, 503, 504})

Object = dict[str, Any]


class Cluster:
    """One API server. Every method may raise CommandError or one of its kinds in `errors`."""

    def __init__(self, access: Access) -> None:
        self._server = str(access.configuration.host)
        client = ApiClient(access.configuration)
        self._objects, self._core = CustomObjectsApi(client), CoreV1Api(client)

    def read_service(self, namespace: str, name: str) -> Object:
        """The ModelService."""
        place = (GROUP, VERSION, namespace, MODEL_SERVICES.plural, name)
        found: Object = self._ask(
            lambda: self._objects.get_namespaced_custom_object(*place, _request_timeout=_TIMEOUT_SECONDS),
            f"there is no ModelService {name!r} in namespace {namespace!r}: "
            "'kubectl get modelservices -A' lists all, -n names another namespace",
        )
        return found

    def list_services(self, namespace: str) -> list[Object]:
        """All ModelServices of a namespace."""
        place = (GROUP, VERSION, namespace, MODEL_SERVICES.plural)
        found = self._ask(
            lambda: self._objects.list_namespaced_custom_object(*place, _request_timeout=_TIMEOUT_SECONDS),
            _NO_DEFINITION,
        )
        return list(found["items"])

    def read_rollout(self, name: str) -> Object:
        """The RuntimeRollout."""
        place = (GROUP, VERSION, RUNTIME_ROLLOUTS.plural, name)
        found: Object = self._ask(
            lambda: self._objects.get_cluster_custom_object(*place, _request_timeout=_TIMEOUT_SECONDS),
            f"there is no RuntimeRollout {name!r}: 'kubectl get runtimerollouts' lists all",
        )
        return found

    def replace_rollout(self, rollout: Object) -> None:
        """Write a RuntimeRollout as it was read and then edited; raises as `replace_service` does."""
        name = rollout["metadata"]["name"]
        self._ask(
            lambda: self._objects.replace_cluster_custom_object(
                *(GROUP, VERSION, RUNTIME_ROLLOUTS.plural, name),
                rollout,
                field_manager=FIELD_MANAGER,
                _request_timeout=_TIMEOUT_SECONDS,
            ),
            f"RuntimeRollout {name!r} is gone",
        )

    def list_everywhere(self, resource: Resource, most_at_once: int = 500) -> Iterator[Object]:
        """All objects of one of our kinds, of every namespace."""
        place, token = (resource.group, resource.version, resource.plural), ""
        while True:
            found = self._ask(
                partial(
                    self._objects.list_cluster_custom_object,
                    *place,
                    limit=most_at_once,
                    _continue=token,
                    _request_timeout=_TIMEOUT_SECONDS,
                ),
                _NO_DEFINITION,
            )
            yield from found["items"]
            token = found["metadata"].get("continue") or ""
            if not token:
                return

    def list_children(self, resource: Resource, namespace: str, service: str) -> list[Object]:
        """Objects of one kind (not of the core group) that belong to a ModelService."""
        place = (resource.group, resource.version, namespace, resource.plural)
        found = self._ask(
            lambda: self._objects.list_namespaced_custom_object(
                *place, label_selector=f"{NAME}={service}", _request_timeout=_TIMEOUT_SECONDS
            ),
            f"the cluster has no {resource.plural} of {resource.api_version}",
        )
        return list(found["items"])

    def list_pods(self, namespace: str, service: str = "") -> list[Object]:
        """The pods of a ModelService, or of all of a namespace."""
        selector = f"{NAME}={service}" if service else NAME
        return self._list_core(self._core.list_namespaced_pod, namespace, label_selector=selector)

    def ask_pod(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """What a pod answers to a GET, which the API server passes on; UnavailableError where it does not."""
        answer = self._ask(
            lambda: self._core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{port}",
                namespace,
                path,
                _preload_content=False,
                _request_timeout=_POD_TIMEOUT_SECONDS,
            ),
            f"pod {pod} is gone",
        )
        return bytes(answer.data)

    def delete_service(self, namespace: str, name: str) -> None:
        """Remove a ModelService. NotFoundError: there is none."""
        place = (GROUP, VERSION, namespace, MODEL_SERVICES.plural, name)
        self._ask(
            lambda: self._objects.delete_namespaced_custom_object(*place, _request_timeout=_TIMEOUT_SECONDS),
            f"there is no ModelService {name!r} in namespace {namespace!r}",
        )

    def list_warnings(self, namespace: str, pod_uid: str) -> list[Object]:
        """The Events of type Warning about one pod."""
        fields = f"involvedObject.kind=Pod,involvedObject.uid={pod_uid},type=Warning"
        return self._list_core(self._core.list_namespaced_event, namespace, field_selector=fields)

    def replace_service(self, service: Object, *, dry_run: bool) -> None:
        """Write a ModelService as it was read and then edited.

        ChangedMeanwhileError: somebody has written it since.
        """
        metadata = service["metadata"]
        options: Object = {"dry_run": "All"} if dry_run else {}
        self._ask(
            lambda: self._objects.replace_namespaced_custom_object(
                *(GROUP, VERSION, metadata["namespace"], MODEL_SERVICES.plural, metadata["name"]),
                service,
                field_manager=FIELD_MANAGER,
                _request_timeout=_TIMEOUT_SECONDS,
                **options,
            ),
            f"ModelService {metadata['name']!r} is gone",
        )

    def apply_service(self, service: Object, *, force: bool) -> None:
        """Make a ModelService, or change the fields of it that are named: server-side apply.

        CommandError: another tool has applied other values, unless they are taken over by `force`.
        """
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        self._ask(
            lambda: self._objects.patch_namespaced_custom_object(
                *(GROUP, VERSION, namespace, MODEL_SERVICES.plural, name),
                service,
                field_manager=FIELD_MANAGER,
                force=force,
                _content_type="application/apply-patch+yaml",
                _request_timeout=_TIMEOUT_SECONDS,
            ),
            f"there is no namespace {namespace!r}: make it, or name another with -n",
        )

    def read_secret(self, namespace: str, name: str) -> Object | None:
        """A Secret, None where there is none."""
        try:
            answer = self._ask(
                lambda: self._core.read_namespaced_secret(
                    name, namespace, _preload_content=False, _request_timeout=_TIMEOUT_SECONDS
                ),
                f"there is no Secret {name!r}",
            )
        except NotFoundError:
            return None
        found: Object = json.loads(answer.data)
        return found

    def create_secret(self, secret: Object) -> None:
        """Make a Secret. ChangedMeanwhileError: there is one by now."""
        namespace = secret["metadata"]["namespace"]
        body: Any = secret
        self._ask(
            lambda: self._core.create_namespaced_secret(
                namespace, body, field_manager=FIELD_MANAGER, _request_timeout=_TIMEOUT_SECONDS
            ),
            f"there is no namespace {namespace!r}",
        )

    def replace_secret(self, secret: Object) -> None:
        """Write a Secret as it was read and then edited; raises as `replace_service` does."""
        name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
        body: Any = secret  # not parsed into the package's models, which know less than the server
        self._ask(
            lambda: self._core.replace_namespaced_secret(
                name, namespace, body, field_manager=FIELD_MANAGER, _request_timeout=_TIMEOUT_SECONDS
            ),
            f"Secret {name!r} is gone",
        )

    def _list_core(self, list_them: Callable[..., Any], namespace: str, **selectors: str) -> list[Object]:
        # Unparsed: the package's models would cost more time than the request.
        answer = self._ask(
            lambda: list_them(
                namespace, _preload_content=False, _request_timeout=_TIMEOUT_SECONDS, **selectors
            ),
            "the API server lists no such objects",
        )
        return list(json.loads(answer.data)["items"])

    def _ask(self, request: Callable[[], Any], not_found: str) -> Any:
        try:
            return request()
        except ApiException as error:
            raise refusal(int(error.status or 0), error.body, not_found, self._server) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"no answer from the API server at {self._server} ({_innermost(error)}): check the network "
            "and the kubeconfig's context"
        )


def refusal(status: int, body: str | bytes | None, not_found: str, server: str) -> CommandError:
    """Return what to tell the user of an answer with this status and this body."""
    answer = _parse_status(body)
    message = str(answer.get("message") or f"HTTP {status}")
    if status == 404:
        # A path that the server does not know is answered without a name.
        is_known = bool((answer.get("details") or {}).get("name"))
        return NotFoundError(not_found) if is_known else CommandError(_NO_DEFINITION)
    if status == 401:
        return CommandError(
            f"the API server at {server} does not accept your credentials: log in again, or correct the "
            "user of the kubeconfig's context"
        )
    if status == 403:
        return ForbiddenError(f"the API server refuses it: {message.rstrip('.')}; {_role_needed(message)}")
    if status == 409 and _is_conflict_of_appliers(answer):
        return CommandError(
            f"{message}; where the ModelService comes from Git or from Helm, change it there, else take the "
            "fields over with --force-conflicts"
        )
    if status == 409:
        return ChangedMeanwhileError("somebody else changed it in the same moment: run the command again")
    if status in _TRIES_MAY_HELP:
        return UnavailableError(f"the API server at {server} cannot answer now: {message}")
    return CommandError(f"the API server refuses it: {message}")


def _role_needed(refused: str) -> str:
    if "at the cluster scope" in refused:
        return "that takes a ClusterRoleBinding: of 'view' to look, of an administrator's role to change"
    return "ask for the role 'view' (to change something 'edit') in the namespace"


_NO_DEFINITION = (
    f"the cluster does not know objects of {GROUP}/{VERSION}: install the operator or its newer definitions, "
    "or name another cluster with --context"
)


def _parse_status(body: str | bytes | None) -> Object:
    try:
        parsed = json.loads(body or "")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _is_conflict_of_appliers(status: Object) -> bool:
    """Whether fields are another's, as server-side apply tells it."""
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "FieldManagerConflict" for cause in causes)


def _innermost(error: BaseException) -> str:
    """Return the cause at the bottom: urllib3 wraps what the system said twice."""
    reason = getattr(error, "reason", None)
    while isinstance(reason, BaseException):
        error, reason = reason, getattr(reason, "reason", None)
    cause = error.__cause__ or error.__context__
    found = cause if isinstance(cause, OSError) else error
    text = found.strerror if isinstance(found, OSError) and found.strerror else str(found)
    return " ".join(text.split()) or type(found).__name__
