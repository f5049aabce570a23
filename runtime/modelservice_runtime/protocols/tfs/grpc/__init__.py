"""TensorFlow Serving's interface over gRPC: its services, how their messages are read and written.

The table of services lives in `protocols.grpc`.
"""
