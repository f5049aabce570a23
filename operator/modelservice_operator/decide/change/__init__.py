"""What is asked of a change, by the spec, by people and by the status so far: what the planner gets to know.

How the change goes on from there is decided in `decide.rollout`.
"""
