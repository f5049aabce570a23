"""HTTP/1.1 (RFC 9112): bytes to requests, answers in their order, deadlines of a connection.

What a path means lives in `protocols`.
"""
