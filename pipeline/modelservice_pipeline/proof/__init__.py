"""The proof that a model answers as in its framework: files beside it, and their replay, with NumPy alone."""
