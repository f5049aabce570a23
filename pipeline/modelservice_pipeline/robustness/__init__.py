"""How a model and its server bear what is not clean: perturbed rows, wrong requests, load; no metrics."""
