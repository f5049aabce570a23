"""`spec.server` and `spec.env`: what the server's process is told beside its model."""

import re
from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import ApiModel, ObjectName, Quantity, between, quantity_between
from modelservice_operator.api.types.rules import Rule, must_match, must_not_contain

PROXY_VARIABLES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
"""Variables that are the fetcher's; their names may be written in small letters too."""
HUB_VARIABLE = "HF_ENDPOINT"
"""Where the fetcher finds the Hub of hf:// models."""


_LOGGED = "all|[1-9]"


def _is_logged(access_log: str | None) -> bool:
    return access_log is not None and re.search(_LOGGED, access_log) is not None


class AccessLogPayloads(ApiModel):
    """JSON bodies in the lines of the access log."""

    max_bytes: Annotated[int, between(1, 65_536)] = 4096
    """Longer bodies are left out."""
    mask: (
        Annotated[
            tuple[
                Annotated[
                    str,
                    Field(max_length=256),
                    must_match(r"\$.*", "expected a JSONPath that begins with $, such as $.inputs[*].data"),
                ],
                ...,
            ],
            Field(max_length=32),
        ]
        | None
    ) = None
    """JSONPaths (RFC 9535, without match and search) of what is replaced by "***"."""


class ServerSpec(ApiModel):
    """Options of the server; what is left out is the server's choice."""

    max_request_bytes: Quantity | None = None
    """The largest body of a request, such as 256Mi; larger ones get 413. Default: 64Mi."""
    idle_timeout_seconds: Annotated[int, between(1, 86_400)] | None = None
    """How long a connection may be silent: longer than the load balancer in front keeps it. Default: 620."""
    max_connection_age_seconds: Annotated[int, between(0, 604_800)] | None = None
    """After how long clients are asked to connect anew, so that they find new pods. 0: never.
    Default: 1800."""
    workers: Annotated[int, between(1, 64)] | None = None
    """Processes that share the ports, each with its own copy of the model, for models so fast that one
    process is the limit. They share the CPUs, and need the model's memory each. Default: 1."""
    access_log: (
        Annotated[
            str,
            Field(max_length=16),
            must_match(
                r"off|all|0(\.[0-9]{1,9})?|1(\.0{1,9})?",
                'expected off, all, or a share in quotes such as "0.01"',
            ),
        ]
        | None
    ) = None
    """Logs a line for each request, or for a share of them; what was sent only with accessLogPayloads.
    Default: off."""
    access_log_payloads: AccessLogPayloads | None = None
    """Logs JSON bodies of requests and answers too, without what is masked. Default: none."""
    audit_log: Literal["All", "Denied"] | None = None
    """Logs who asked for which model and whether that was allowed: of all requests, or of refused ones.
    Default: none."""

    rules = (
        quantity_between(
            "maxRequestBytes", "max_request_bytes", "1Ki", "16Gi", "from 1Ki to 16Gi, such as 256Mi"
        ),
        Rule(
            cel=(
                "!has(self.accessLogPayloads) || "
                f"(has(self.accessLog) && self.accessLog.matches('{_LOGGED}'))"
            ),
            message="expected accessLog beside it: all, or a share",
            check=lambda self: self.access_log_payloads is None or _is_logged(self.access_log),
            field_path=".accessLogPayloads",
        ),
    )


_NAME = "OTEL_[A-Z0-9_]{1,200}|TZ|HTTP_PROXY|HTTPS_PROXY|NO_PROXY|http_proxy|https_proxy|no_proxy|HF_ENDPOINT"


class EnvVar(ApiModel):
    """A variable of the server's environment, or of the fetcher's."""

    name: Annotated[
        str,
        Field(max_length=253),
        must_match(
            _NAME,
            "expected OTEL_... or TZ for the server, or HTTP_PROXY, HTTPS_PROXY, NO_PROXY or HF_ENDPOINT for "
            "the fetcher: other variables could change which code runs, and what may be chosen has a field "
            "of its own",
        ),
    ]
    """OTEL_... and TZ are the server's; HTTP_PROXY, HTTPS_PROXY, NO_PROXY and HF_ENDPOINT the fetcher's."""
    value: (
        Annotated[
            str,
            Field(min_length=1, max_length=4096),
            must_not_contain(r"[\x00-\x1f\x7f]", "expected a value without control characters", echo=False),
        ]
        | None
    ) = None
    """The value; everybody who sees the object can read it."""
    secret_name: ObjectName | None = None
    """A Secret of the same namespace that holds the value, under a key of the variable's name."""

    rules = (
        Rule(
            cel="has(self.value) != has(self.secretName)",
            message="expected exactly one of value and secretName",
            check=lambda self: (self.value is None) != (self.secret_name is None),
        ),
        Rule(
            cel="!has(self.value) || !self.name.upperAscii().endsWith('_PROXY') || !self.value.contains('@')",
            message=(
                "a password in a proxy's address can be read by everybody who sees the object: put the "
                "address into a Secret, under a key of the variable's name, and give secretName"
            ),
            check=lambda self: (
                self.value is None or not self.name.upper().endswith("_PROXY") or "@" not in self.value
            ),
            field_path=".value",
        ),
    )

    @property
    def is_for_fetcher(self) -> bool:
        """Whether only the fetcher gets it."""
        return self.name == HUB_VARIABLE or self.name.upper() in PROXY_VARIABLES
