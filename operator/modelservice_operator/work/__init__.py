"""What a reconciliation reads and writes beyond the cache; decisions and explanations are made elsewhere."""
