"""A training run as Kubernetes takes it: an Indexed Job with a Service, or Kubeflow's TrainJob. Pure.

Sources: Kubernetes, "Indexed Job for parallel processing with static work assignment"; torchrun's elastic
launch (torch.distributed.run, DynamicRendezvousHandler.next_rendezvous); Kubeflow Trainer 2,
`trainer.kubeflow.org/v1alpha1`.
"""

from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.jobs.spec import TrainSpec

Object = dict[str, Any]

PORT = 29400
"""torchrun's own, of the store at which nodes meet."""
SCRIPT_VARIABLE = "TRAIN_SCRIPT"
CHECKPOINTS_VARIABLE = "CHECKPOINTS"
TRAIN_JOB_API = "trainer.kubeflow.org/v1alpha1"
RUNTIME = "torch-distributed"
"""The ClusterTrainingRuntime that Kubeflow Trainer brings."""
_LABEL = "modelservice.dev/training"
_POD_IP: Object = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
_FOLDER = "/tmp/training"  # noqa: S108  a path in the container
_LOOK_SECONDS = 5
_DEFAULTS = {
    # Without a home of its own no user finds a place for caches.
    "HOME": "/tmp",  # noqa: S108  a path in the container
    # Else torchrun tells where the workers' store is in the first round alone, and a successor waits for it.
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}
"""Variables, unless the user has others."""
_WRITE_SCRIPT = f'mkdir -p {_FOLDER} && printf %s "${SCRIPT_VARIABLE}" > {_FOLDER}/script.py'


def render_job(spec: TrainSpec) -> list[Object]:
    """Return the Service and the Job.

    Nodes meet at the first one (c10d). Where a worker dies, those of other nodes fail with it; the Job makes
    successors of the pods that ended, and the script goes on from its last checkpoint.
    """
    return [_service(spec), _job(spec)]


def render_train_job(spec: TrainSpec) -> list[Object]:
    """Return a TrainJob. Raises PipelineError for what only its runtime can say."""
    if spec.claim is not None or spec.pull_secrets:
        what = "a claim for checkpoints" if spec.claim is not None else "pull secrets"
        raise PipelineError(
            f"a TrainJob takes {what} from its ClusterTrainingRuntime alone: put it there and leave it out "
            "here, or take --as job"
        )
    trainer: Object = {
        "image": spec.image,
        "numNodes": spec.nodes,
        "numProcPerNode": spec.processes_per_node if spec.processes_per_node > 1 else None,
        "command": ["sh", "-c", _literal(f'{_WRITE_SCRIPT} && exec torchrun {_FOLDER}/script.py "$@"'), "sh"],
        "args": list(map(_literal, spec.arguments)),
        "env": _variables(spec),
    }
    if spec.requests:
        trainer["resourcesPerNode"] = {"requests": dict(spec.requests), "limits": dict(spec.requests)}
    body = {"runtimeRef": {"name": RUNTIME}, "trainer": {key: one for key, one in trainer.items() if one}}
    return [{"apiVersion": TRAIN_JOB_API, "kind": "TrainJob", "metadata": _metadata(spec), "spec": body}]


def _metadata(spec: TrainSpec) -> Object:
    place = {"namespace": spec.namespace} if spec.namespace else {}
    return {"name": spec.name, **place, "labels": {_LABEL: spec.name}}


def _service(spec: TrainSpec) -> Object:
    """Names the nodes: the first one is NAME-0.NAME."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec),
        "spec": {
            "clusterIP": "None",
            # Nodes meet before any of them is ready.
            "publishNotReadyAddresses": True,
            "selector": {_LABEL: spec.name},
            "ports": [{"name": "rendezvous", "port": PORT, "protocol": "TCP"}],
        },
    }


def _job(spec: TrainSpec) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(spec),
        "spec": {
            "completionMode": "Indexed",
            "completions": spec.nodes,
            "parallelism": spec.nodes,
            "backoffLimitPerIndex": spec.restarts,
            # Nobody can go on without a node that is tried no more.
            "maxFailedIndexes": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
                ]
            },
            "template": {"metadata": {"labels": {_LABEL: spec.name}}, "spec": _pod(spec)},
        },
    }


def _pod(spec: TrainSpec) -> Object:
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  a path in the container
    if spec.claim is not None:
        volumes.append({"name": "checkpoints", "persistentVolumeClaim": {"claimName": spec.claim}})
        mounts.append({"name": "checkpoints", "mountPath": spec.checkpoints})
    container: Object = {
        "name": "trainer",
        "image": spec.image,
        "command": ["sh", "-c", _literal(_launch(spec)), "sh"],
        "args": list(map(_literal, spec.arguments)),
        "env": [*_variables(spec), _POD_IP],
        "ports": [{"name": "rendezvous", "containerPort": PORT, "protocol": "TCP"}],
        "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if spec.requests:
        container["resources"] = {"requests": dict(spec.requests), "limits": dict(spec.requests)}
    pod: Object = {
        "subdomain": spec.name,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**_user(spec), "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": volumes,
    }
    secrets = [{"name": name} for name in spec.pull_secrets]
    return {**pod, "imagePullSecrets": secrets} if secrets else pod


def _launch(spec: TrainSpec) -> str:
    """Return the shell's line.

    The first node has the store where all meet, and needs nobody's name. The others wait until it answers:
    the name of one that died leads to its old address for a while, where torchrun would fail.
    """
    first = f"{spec.name}-0.{spec.name}"
    options = [
        f"--nnodes={spec.nodes}",
        f"--nproc-per-node={spec.processes_per_node}",
        f"--max-restarts={spec.restarts}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={spec.name}",
        f'--rdzv-endpoint="$first:{PORT}"',
        # What the workers of other nodes connect to; else it would be a name that they have to resolve.
        '--local-addr="$POD_IP"',
        '--rdzv-conf="is_host=$is_host"',
    ]
    look = f"import socket; socket.create_connection(('{first}', {PORT}), {_LOOK_SECONDS})"
    wait = f'until python3 -c "{look}" 2>/dev/null; do sleep 1; done'
    choose = (
        'if test "$JOB_COMPLETION_INDEX" = 0; then first=localhost is_host=true; '
        f"else first={first} is_host=false; {wait}; fi"
    )
    torchrun = f"python3 -m torch.distributed.run {' '.join(options)} {_FOLDER}/script.py"
    return f'{_WRITE_SCRIPT} && {choose} && exec {torchrun} "$@"'


def _variables(spec: TrainSpec) -> list[Object]:
    own = {SCRIPT_VARIABLE: spec.script}
    if spec.claim is not None:
        own[CHECKPOINTS_VARIABLE] = spec.checkpoints
    wanted = {**_DEFAULTS, **spec.environment, **own}
    return [{"name": name, "value": _literal(value)} for name, value in wanted.items()]


def _user(spec: TrainSpec) -> Object:
    """Whom the processes run as: images of frameworks name root."""
    if not spec.user:
        return {}
    return {"runAsNonRoot": True, "runAsUser": spec.user, "fsGroup": spec.user}


def _literal(text: str) -> str:
    """Write a text so that Kubernetes, which fills in `$(NAME)`, leaves it as it is."""
    return text.replace("$", "$$")
