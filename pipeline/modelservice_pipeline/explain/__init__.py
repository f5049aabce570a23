"""Why a model answers as it does: LIME and Shapley values through any predictor; no files are read.

All but the pictures needs NumPy alone, for it also runs in a pod beside the model's.
"""
