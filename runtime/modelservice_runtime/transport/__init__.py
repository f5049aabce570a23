"""Bytes on the wire: sockets, TLS, HTTP/1, HTTP/2, gRPC, and the table from errors to their status codes.

What a request means lives in `protocols`.
"""
