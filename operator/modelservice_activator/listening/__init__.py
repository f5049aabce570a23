"""Ports for services and the clients that come to them: who is let in, who has been silent for too long.

What they ask for is answered in `relaying`.
"""
