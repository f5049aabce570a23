"""The explainer in a cluster: answers `POST /v1/models/NAME:explain` by asking the model; no method is here.

It runs in the runtime's image: NumPy, aiohttp and the standard library are all that it imports.
"""
