"""Which members of a RuntimeRollout start, go back, are updated or failed, and what it says of itself.

How a member changes its pods is no matter of this room: each does that by its own rollout.
"""
