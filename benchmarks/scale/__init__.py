"""How the operator does with thousands of services on fake nodes. The runtime is measured elsewhere."""
