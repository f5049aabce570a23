"""Pure builders of the objects that a ModelService owns: one file for each kind.

A builder returns a fresh dict, complete for a server-side apply. It leaves out what the API server would
fill in, or writes it as the API server stores it, so that an applied object compares equal.
"""
