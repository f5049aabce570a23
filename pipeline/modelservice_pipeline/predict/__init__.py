"""Asks a model, wherever it is: a file in this process, a served one through its protocol; no metrics."""
