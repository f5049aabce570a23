"""How fast texts are generated, beside other engines: `python -m benchmarks.generation`; in CPU time."""
