"""The protocol over gRPC: its services, and how their messages are read and written."""
