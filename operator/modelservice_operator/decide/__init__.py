"""Facts in, children and a plan out.

Pure: no I/O, no clock. The words of the status live in explain.
"""
