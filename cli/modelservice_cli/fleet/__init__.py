"""`modelservice fleet`: shows, plans and steers how a runtime gets to many services.

What a RuntimeRollout does next is decided by the operator; the plan asks the same planner. What goes on in
one ModelService is shown by `rollout`.
"""
