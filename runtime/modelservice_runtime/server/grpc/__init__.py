"""gRPC over our own HTTP/2: the transport, and the services on top of it."""
