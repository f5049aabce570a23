"""What an ONNX file says, read from its bytes: parts, links, policy, outputs in pieces.

Whether its rows are independent is proven in `onnx.rows`; sessions live beside this folder.
"""
