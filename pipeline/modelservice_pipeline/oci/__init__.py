"""OCI artifacts and images as registries and layouts keep them; what a model is lives in `package`."""
