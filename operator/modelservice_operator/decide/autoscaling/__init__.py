"""Who steers the number of pods, where that begins, and whether it works: decided per service, pure.

Which pods of which revision make up the number is decided in `decide.rollout`.
"""
