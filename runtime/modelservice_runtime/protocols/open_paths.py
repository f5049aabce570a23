"""What everybody may ask, with or without a key: whether to send traffic.

A kubelet, a load balancer and a client's own health check have no key, and learn nothing else.
"""

# Compared with the path as it came: any other spelling of it needs a key.
OPEN_HTTP_PATHS = frozenset({b"/", b"/v2/health/live", b"/v2/health/ready"})
# Answered at once, so that they take nobody's place for long.
GRPC_PROBES = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
    }
)
OPEN_GRPC_PATHS = GRPC_PROBES | {"/grpc.health.v1.Health/Watch"}


def is_open_target(target: bytes) -> bool:
    """Whether everybody may ask for a request target; its query means nothing there and does not count."""
    return target.partition(b"?")[0] in OPEN_HTTP_PATHS
