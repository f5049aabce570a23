"""TensorFlow Serving's interface over HTTP: its front end, how requests of each verb are read and answered.

What every front end shares lives in `protocols.rest`.
"""
