"""gRPC over our own HTTP/2: calls, messages, deadlines and status.

Services live in `protocols`.
"""
