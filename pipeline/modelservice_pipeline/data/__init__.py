"""Data sets as files hold them: rows of inputs, labels and the columns that slice them; no metrics."""
