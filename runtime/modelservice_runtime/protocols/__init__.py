"""What a request means: paths, inference and answers, with a folder for each protocol.

Bytes on the wire live in `transport`, who may ask in `auth`.
"""
