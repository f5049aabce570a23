"""Web servers: the guarded HTTP client, and `https://` on top of it.

What is done with the bytes lives in `files`.
"""
