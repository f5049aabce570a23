"""The Job that scores a new revision before it gets a pod: its pods, its name, and what it measures.

What its numbers mean is decided in `decide.gates`.
"""
