"""Measuring revisions while an analysis runs: from the pods' own metrics, or from Prometheus.

What the numbers mean for a rollout is decided in `decide.gates`.
"""
