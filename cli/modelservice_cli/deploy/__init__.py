"""`modelservice model deploy`: from a folder to a served model, by the pipeline and the cluster's client."""
