"""Which services may sleep, which ports are theirs, and which pods answer for them, as the API server says.

Nothing is written here.
"""
