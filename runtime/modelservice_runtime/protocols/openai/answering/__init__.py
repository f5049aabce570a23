"""Texts under way, and how they are told; what a client asked for is read elsewhere."""
