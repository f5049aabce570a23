"""Who may ask: API keys, JSON Web Tokens and client certificates, the same for every protocol.

`Guard` is the one check that every request passes before it is dispatched. The checks know nothing of
HTTP or gRPC; front ends hand them the two header values and answer with their own status codes.
"""
