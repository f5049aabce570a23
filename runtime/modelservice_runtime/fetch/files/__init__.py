"""Bytes to files: streamed, hashed, resumed, taken apart, cached, put in place all at once.

Where they come from lives in `http`, `oci` and `buckets`.
"""
