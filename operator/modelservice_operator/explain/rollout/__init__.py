"""What the status says of a change: its progress, what gates said, room for it, what became of revisions.

The conditions that follow from it are made in `explain.conditions`.
"""
