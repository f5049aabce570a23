"""TensorFlow Serving's interface, version 1, REST and gRPC side by side.

How tensors are read lives in ``tensors``.
"""
