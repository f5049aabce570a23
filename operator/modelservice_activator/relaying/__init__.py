"""Requests on their way through: how they are read, held, passed on exactly once, and answered.

Each goes to its pod in the protocol in which it came, over a connection of its own: nothing is shared, so
nothing ever has to be sent again. Who may come at all is decided in `listening`.
"""
