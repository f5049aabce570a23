"""The immutable values and small pure readings that everything above speaks in.

No I/O and no decisions.
"""
