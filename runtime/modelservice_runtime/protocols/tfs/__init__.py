"""TensorFlow Serving's interface, version 1: what its two ways share, and a folder for each.

How tensors are read lives in `tensors`.
"""
