"""The Open Inference Protocol, REST and gRPC side by side: paths, messages, codecs.

How tensors are read lives in ``tensors``.
"""
