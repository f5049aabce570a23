"""The operator's settings: frozen, read once from flags and environment. Nothing else reads either.

Every tuned default has its reason next to it. What every component of ours needs stands apart:
`CommonSettings`, `add_common_arguments` and `common_settings`; for those of which one leads
`ProcessSettings`, `add_process_arguments` and `process_settings`.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelservice_operator.api import (
    STRICT_NETWORK_POLICY,
    InvalidSpec,
    NetworkPeer,
    NetworkPolicySpec,
    parse_network_policy,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class LeaseSettings:
    """Leader election. 15/10/2 seconds are the defaults of Kubernetes' own components."""

    namespace: str
    name: str = "modelservice-operator"
    identity: str
    duration_seconds: float = 15.0
    """A standby takes the Lease over after it has seen no renewal for this long."""
    renew_deadline_seconds: float = 10.0
    """A leader that could not renew for this long stops writing and ends."""
    retry_seconds: float = 2.0


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """What a process of ours needs, whatever it does."""

    cluster_url: str | None = None
    """Address of the API server for a pod's service account; None where a kubeconfig is used."""
    kubeconfig: str = ""
    """Path of the kubeconfig file; empty for kubectl's default."""
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    """Serve only these namespaces; empty serves all."""
    http_host: str = "::"
    """The kubelet and Prometheus come from outside the pod, over IPv4 or IPv6."""
    http_port: int = 8081
    log_level: str = "INFO"

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """What is listed and watched each for itself: the namespaces, or None for the whole cluster."""
        return self.namespaces or (None,)


@dataclass(frozen=True, kw_only=True)
class ProcessSettings(CommonSettings):
    """What a process of ours needs of whose replicas one leads."""

    lease: LeaseSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ProcessSettings):
    """Everything that can be chosen at the operator's start-up."""

    workers: int = 8
    """Of one namespace at the same time, where the API server answers so many without a queue."""
    audit_interval_seconds: float = 300.0
    network_policy: NetworkPolicySpec = STRICT_NETWORK_POLICY
    """For ModelServices that leave spec.networkPolicy, or a field of it, out."""
    scaler_address: str = ""
    """Where modelservice-autoscaler answers KEDA, host and port; empty: it is not installed."""
    most_reported_services: int = 5_000
    """Each has some fifteen series; they take the leader 10 MB for the time of a scrape."""
    component_peers: tuple[NetworkPeer, ...] = ()
    """Pods of ours that ask the servers: spec.networkPolicy.from shuts none of them out."""
    activator: tuple[str, str] | None = None
    """Namespace and name of the activator's Service; None where there is no activator."""
    runtimes_file: str = ""
    """Where the ModelRuntimes stand; empty: in the cluster. With it nothing cluster-scoped is read at all."""

    @property
    def autoscaler_lease(self) -> tuple[str, str] | None:
        """Namespace and name of its Lease, which is named as its Service; None where that is not known."""
        name, *rest = self.scaler_address.partition(":")[0].split(".")
        return (rest[0], name) if rest[1:] == ["svc"] else None


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings from command line arguments and environment; exits with a usage message on bad ones."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.runtimes and not args.namespace:
        parser.error(
            "--runtimes goes with --namespace: it is for an operator that has no rights in the cluster"
        )
    return Settings(
        **process_settings(args, environ),
        workers=args.workers,
        audit_interval_seconds=args.audit_interval_seconds,
        network_policy=args.network_policy,
        scaler_address=args.scaler_address,
        most_reported_services=args.most_reported_services,
        component_peers=args.component_peers,
        activator=args.activator_service,
        runtimes_file=args.runtimes,
    )


def process_settings(args: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, Any]:
    """The fields of `ProcessSettings`, from what `add_process_arguments` asked for and the environment."""
    return {
        **common_settings(args, environ),
        "lease": LeaseSettings(
            namespace=args.lease_namespace or environ.get("POD_NAMESPACE") or "default",
            name=args.lease_name,
            identity=environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
            duration_seconds=args.lease_duration_seconds,
            renew_deadline_seconds=args.lease_renew_deadline_seconds,
            retry_seconds=args.lease_retry_seconds,
        ),
    }


def common_settings(args: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, Any]:
    """The fields of `CommonSettings`, from what `add_common_arguments` asked for and the environment."""
    in_cluster = args.kubeconfig is None and args.context is None
    return {
        "cluster_url": _cluster_url(environ) if in_cluster else None,
        "kubeconfig": args.kubeconfig or environ.get("KUBECONFIG") or "",
        "context": args.context,
        "namespaces": tuple(dict.fromkeys(args.namespace)),
        "http_host": args.http_host,
        "http_port": args.http_port,
        "log_level": args.log_level,
    }


def _cluster_url(environ: Mapping[str, str]) -> str | None:
    """Where the kubelet says that the API server is; None outside a pod."""
    host = environ.get("KUBERNETES_SERVICE_HOST")
    if not host:
        return None
    host = f"[{host}]" if ":" in host else host
    return f"https://{host}:{environ.get('KUBERNETES_SERVICE_PORT', '443')}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelservice_operator", description="Reconciles ModelService objects into Kubernetes workloads."
    )
    add_process_arguments(parser, lease_name=LeaseSettings.name)
    add = parser.add_argument
    add(
        "--workers",
        type=_positive_int,
        default=Settings.workers,
        help="objects of a namespace reconciled at once, at most",
    )
    add("--audit-interval-seconds", type=_positive_float, default=Settings.audit_interval_seconds,
        help="how often the cache is compared with the API server")  # fmt: skip
    add(
        "--network-policy",
        type=_network_policy,
        default=Settings.network_policy,
        metavar="JSON",
        help='what ModelServices leave out of spec.networkPolicy, such as {"mode": "Disabled"}',
    )
    add("--most-reported-services", type=_whole_number, default=Settings.most_reported_services,
        help="of how many ModelServices /metrics tells the state; 0: of none")  # fmt: skip
    add(
        "--component-peers",
        type=_peers,
        default=Settings.component_peers,
        metavar="JSON",
        help="our own pods that ask model servers, as in spec.networkPolicy.from, which need not name them",
    )
    add("--scaler-address", default=Settings.scaler_address, metavar="NAME.NAMESPACE.svc:PORT",
        help="where modelservice-autoscaler answers KEDA; left out: it is not installed")  # fmt: skip
    add("--activator-service", type=_service, metavar="NAMESPACE/NAME",
        help="headless Service of the activator; without one no ModelService goes to zero")  # fmt: skip
    add("--runtimes", default=Settings.runtimes_file, metavar="FILE",
        help="YAML with the ModelRuntimes: neither they nor anything else without a namespace is read from "
        "the cluster; for an operator with Roles in its namespaces only")  # fmt: skip
    return parser


def add_process_arguments(parser: argparse.ArgumentParser, *, lease_name: str) -> None:
    """Ask for what every process of ours needs of whose replicas one leads."""
    add_common_arguments(parser)
    add = parser.add_argument
    add(
        "--lease-namespace",
        help="namespace of the leader election Lease (default: $POD_NAMESPACE, else default)",
    )
    add("--lease-name", default=lease_name)
    add("--lease-duration-seconds", type=_positive_float, default=LeaseSettings.duration_seconds,
        help="silence after which a standby takes over")  # fmt: skip
    add("--lease-renew-deadline-seconds", type=_positive_float, default=LeaseSettings.renew_deadline_seconds,
        help="time without renewal after which the leader ends; less than the duration")  # fmt: skip
    add("--lease-retry-seconds", type=_positive_float, default=LeaseSettings.retry_seconds)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Ask for what every process of ours needs."""
    add = parser.add_argument
    add(
        "--kubeconfig",
        help="path of a kubeconfig file (default: in a pod its service account, else $KUBECONFIG)",
    )
    add("--context", help="context in the kubeconfig file")
    add("--namespace", action="append", default=[], type=_namespace, metavar="NAMESPACE",
        help="serve only this namespace; may be repeated")  # fmt: skip
    add("--http-host", default=CommonSettings.http_host,
        help="address of /healthz, /readyz and /metrics; '::' is every one of IPv4 and IPv6")  # fmt: skip
    add("--http-port", type=int, default=CommonSettings.http_port, help="port of the same")
    add("--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default=CommonSettings.log_level)


def _network_policy(text: str) -> NetworkPolicySpec:
    return _policy_of(_json(text)).over(STRICT_NETWORK_POLICY)


def _peers(text: str) -> tuple[NetworkPeer, ...]:
    return _policy_of({"from": _json(text)}).peers or ()


def _policy_of(value: object) -> NetworkPolicySpec:
    try:
        return parse_network_policy(value)
    except InvalidSpec as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"expected JSON: {error}") from None


def _namespace(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a namespace, got an empty text")
    return text


def _service(text: str) -> tuple[str, str] | None:
    namespace, slash, name = text.partition("/")
    if text and (not slash or not namespace or not name or "/" in name):
        raise argparse.ArgumentTypeError(f"expected NAMESPACE/NAME, got {text!r}")
    return (namespace, name) if text else None


def _whole_number(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text}")
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < 86_400:
        raise argparse.ArgumentTypeError(f"expected seconds between 0 and a day, got {text}")
    return value
