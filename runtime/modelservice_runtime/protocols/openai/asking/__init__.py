"""What bodies say, field by field, as values; no models, no I/O."""
