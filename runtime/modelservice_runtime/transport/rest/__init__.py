"""Both versions of HTTP on one port: which one a client speaks, and streams of HTTP/2 as requests.

What a path means lives in `protocols`.
"""
