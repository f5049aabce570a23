"""MLflow's deployments by ModelServices: `plugin` alone imports mlflow, and only mlflow imports it."""
