"""The Open Inference Protocol: its paths, and a folder for each way to send it.

How tensors are read lives in `tensors`.
"""
