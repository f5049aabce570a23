"""HTTP/2 (RFC 9113) with HPACK (RFC 7541) for servers: frames, flow control, limits; no gRPC in here."""
