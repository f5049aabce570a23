"""`spec.route`: how requests get to the service from outside, through a Gateway or an Ingress."""

import re
from typing import Annotated

from pydantic import Field
from pydantic.alias_generators import to_snake

from modelservice_operator.api.types.base import (
    DNS_SUBDOMAIN,
    ApiModel,
    NoneIfBlank,
    ObjectName,
    OptionalObjectName,
    between,
    limited,
)
from modelservice_operator.api.types.rules import Rule, must_match

_OF_GATEWAYS = ("testers", "mirrorPercent", "timeoutSeconds", "grpcHostnames")
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+)+")
_PROTOCOL_PATH = re.compile("/v[12](/.*)?")


class ParentRef(ApiModel):
    """A Gateway, or one of its listeners."""

    name: ObjectName
    """The Gateway's name."""
    namespace: ObjectName | None = None
    """Its namespace. Default: that of the ModelService."""
    section_name: Annotated[str, limited(253)] | None = None
    """One listener. Default: all that admit the route."""
    port: Annotated[int, between(1, 65_535)] | None = None
    """The listeners with this port."""


class HeaderMatch(ApiModel):
    """A header with exactly this value."""

    header: Annotated[str, limited(256), must_match("[A-Za-z0-9-]+", "expected a header's name")]
    """Its name."""
    value: Annotated[
        str,
        limited(256),
        must_match("[!-~]([ -~]*[!-~])?", "expected printable ASCII characters, no space at an end"),
    ]
    """Its value."""


class Ingress(ApiModel):
    """An Ingress in place of a Gateway: a host and a path."""

    class_name: Annotated[OptionalObjectName | None, NoneIfBlank] = None
    """The IngressClass. Default: the cluster's default."""
    tls_secret_name: Annotated[OptionalObjectName | None, NoneIfBlank] = None
    """A Secret with the certificate of the hostnames, in the namespace of the ModelService."""


Hostname = Annotated[
    str,
    limited(253),
    Rule(
        cel=(
            rf"self.matches('^([*][.])?{DNS_SUBDOMAIN}$') && !self.matches('^{_ADDRESS.pattern}$')".replace(
                "\\.", "[.]"
            )
        ),
        message="expected a hostname such as spam.example.com or *.example.com, no address",
        check=lambda name: (
            re.fullmatch(rf"(\*\.)?{DNS_SUBDOMAIN}", name) is not None and _ADDRESS.fullmatch(name) is None
        ),
    ),
]
Hostnames = Annotated[tuple[Hostname, ...], Field(max_length=16)]


class Route(ApiModel):
    """How requests get to the service from outside: through Gateways, or an Ingress."""

    parent_refs: Annotated[tuple[ParentRef, ...], Field(min_length=1, max_length=8)] | None = None
    """The Gateways (gateway.networking.k8s.io/v1)."""
    ingress: Ingress | None = None
    """An Ingress in their place: it knows no weights, so canaries go by their pods."""
    hostnames: Hostnames = ()
    """The hosts that are asked for. Default: those of the listener."""
    grpc_hostnames: Hostnames = ()
    """The hosts of gRPC: a Gateway takes REST or gRPC on one. Default: gRPC is not routed."""
    path: Annotated[
        str,
        limited(256),
        must_match(
            "/|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+",
            "expected an absolute path such as /spam, no '/' at its end",
        ),
    ] = "/"
    """The beginning of the path, for REST. It is removed, unless it is one of the protocols' own (/v1, /v2).
    Default: /."""
    testers: HeaderMatch | None = None
    """Requests with this header go to the new revision during a change."""
    mirror_percent: Annotated[int, between(1, 100)] | None = None
    """How many requests are copied to the new revision during a change; nobody gets its answers."""
    timeout_seconds: Annotated[int, between(1, 86_400)] | None = None
    """How long the Gateway waits for an answer. Default: the Gateway's own."""

    rules = (
        Rule(
            cel="has(self.parentRefs) != has(self.ingress)",
            message="expected either parentRefs (Gateways) or ingress",
            check=lambda self: (self.parent_refs is None) != (self.ingress is None),
        ),
        Rule(
            cel="!has(self.ingress) || !(" + " || ".join(f"has(self.{one})" for one in _OF_GATEWAYS) + ")",
            message=f"an Ingress knows no {', '.join(_OF_GATEWAYS)}: use parentRefs, or leave them out",
            check=lambda self: (
                self.ingress is None or self.model_fields_set.isdisjoint(map(to_snake, _OF_GATEWAYS))
            ),
            field_path=".ingress",
        ),
        Rule(
            cel="!has(self.ingress) || !has(self.path) || self.path.matches('^/(v[12](/.*)?)?$')",
            message="an Ingress removes no path from requests: expected / or one such as /v2/models/spam",
            check=lambda self: self.ingress is None or self.path == "/" or self.keeps_path,
            field_path=".path",
        ),
        Rule(
            cel=(
                "!has(self.grpcHostnames) || self.grpcHostnames.size() == 0 || (has(self.hostnames)"
                " && self.hostnames.size() > 0 && !self.grpcHostnames.exists(one, one in self.hostnames))"
            ),
            message="a Gateway takes REST or gRPC on a host: expected other names than hostnames, which must "
            "not be left out",
            check=lambda self: (
                not self.grpc_hostnames
                or (bool(self.hostnames) and {*self.hostnames}.isdisjoint(self.grpc_hostnames))
            ),
            field_path=".grpcHostnames",
        ),
    )

    @property
    def keeps_path(self) -> bool:
        """Whether the server itself answers at this path."""
        return self.path == "/" or _PROTOCOL_PATH.fullmatch(self.path) is not None

    @property
    def shows_candidate(self) -> bool:
        """Whether the new revision gets requests beside its share."""
        return self.testers is not None or self.mirror_percent is not None


CANDIDATE_RULE = Rule(
    cel=(
        "!has(self.route) || !(has(self.route.testers) || has(self.route.mirrorPercent)) || "
        "(has(self.rollout) && (has(self.rollout.canary) || "
        "(has(self.rollout.strategy) && self.rollout.strategy == 'BlueGreen')))"
    ),
    message=(
        "testers and mirrorPercent need a new revision beside the old one: set rollout.strategy to Canary or "
        "BlueGreen, or leave them out"
    ),
    check=lambda self: (
        self.route is None
        or not self.route.shows_candidate
        or self.rollout.strategy in ("Canary", "BlueGreen")
    ),
    field_path=".route",
)
"""A rule of specs: what is for the new revision needs one."""
