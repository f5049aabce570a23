"""`modelservice serve`: a model, or a ModelService's file, on this machine, without a cluster.

The server itself is the runtime's.
"""
