"""One autoscaler process: start and end, the Lease, probes.

What is done for a ModelService is decided elsewhere.
"""
