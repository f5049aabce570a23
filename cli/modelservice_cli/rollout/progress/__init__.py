"""`rollout status`: how far a change is, once or again and again, as lines or as a live view.

What is read lives in `cluster`.
"""
