"""`modelservice top`: how busy ModelServices and their pods are, from what the pods say of themselves.

What two looks tell is worked out in pure modules; `looking` alone asks, through `rollout.cluster`.
"""
