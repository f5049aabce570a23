"""Messages of the gRPC services: minimal `.proto` files, and what `make generate` makes of them."""
