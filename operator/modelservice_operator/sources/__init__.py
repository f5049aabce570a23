"""What brings events of the API server to the cache: kopf, watches of children, the audit.

Nothing is decided or written here.
"""
