"""Models that write texts token by token: which can be served, and how near the converted one is."""
