"""Asks an API server: which cluster is meant, what the user may read of a ModelService, what is written.

What is shown of it lives in `progress` and `verbs`.
"""
