"""The `modelservice` command; the only package that may import the other two."""
