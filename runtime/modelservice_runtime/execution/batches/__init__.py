"""Requests that share a run: who waits in what order, and how they are merged and split.

Whether they may share it lives in `execution.rows`.
"""
