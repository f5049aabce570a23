"""ONNX files and sessions: the only room that imports ONNX Runtime; scan, policy, signature, proof of rows.

Which models there are lives in `models`.
"""
