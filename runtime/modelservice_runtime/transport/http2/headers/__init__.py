"""Header blocks: HPACK (RFC 7541), which lists are requests (RFC 9113, 8), and blocks that are known already.

What a header means to gRPC lives in `transport.grpc`.
"""
