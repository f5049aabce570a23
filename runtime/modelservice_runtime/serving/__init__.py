"""One server's life: start, ports, workers, memory, drain, and what it tells about itself.

What a request means lives in `protocols`.
"""
