"""Whether rows of a model depend on each other: asked by running it, on rows that are made up or came.

What the graph proves about them lives in `onnx.rows`.
"""
