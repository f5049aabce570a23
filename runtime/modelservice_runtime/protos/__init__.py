"""Messages of the gRPC services: our own minimal ``.proto`` files and what ``make generate`` makes of them."""
