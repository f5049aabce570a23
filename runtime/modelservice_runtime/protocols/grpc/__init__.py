"""The services on top of the gRPC transport: a table of methods, health and reflection.

How a protocol's messages are read lives in that protocol's folder.
"""
