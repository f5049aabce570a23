"""How fast the runtime is, beside others and beside what is possible at all; `make bench`."""
