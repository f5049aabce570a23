"""What the gRPC side of every protocol shares: handlers of one request, health and reflection.

Which services there are says `grpc_services`.
"""
