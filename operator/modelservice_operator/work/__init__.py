"""Observe, decide, apply, report, for one ModelService at a time: the only code that writes to the cluster.

What is decided lives in `decide`, what is said in `explain`.
"""
