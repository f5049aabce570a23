"""What a new revision has to show before it gets traffic, each gate a pure function.

When they are looked at, and what becomes of the answer, is decided in rollout.
"""
