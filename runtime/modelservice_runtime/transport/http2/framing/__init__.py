"""Frames as bytes, what is wrong with them, and the reader that cuts them out (RFC 9113, 4, 6 and 7).

What a frame does to a connection lives in `session`.
"""
