"""The writes to children: apply, delete, and what admission makes of them.

The status is written by `work.report`.
"""
