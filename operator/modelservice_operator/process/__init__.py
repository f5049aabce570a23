"""One operator process: start and end, the Lease, probes and logs.

What is done for a ModelService lives in `work`.
"""
