"""What was seen of the cluster, and whose turn is next.

Nothing is asked of the API server here.
"""
