"""The models of a server: versions, loading, trial, warm-up, and what is learned before they are ready.

How one runs lives in `onnx`, who shares its runs in `execution`.
"""
