"""The Open Inference Protocol over HTTP: its front end, how infer requests are read and answered.

What every front end shares lives in `protocols.rest`.
"""
