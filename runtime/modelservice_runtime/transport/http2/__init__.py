"""HTTP/2 (RFC 9113) with HPACK (RFC 7541) for servers: frames, flow control, limits.

Calls and messages live in `transport.grpc`.
"""
