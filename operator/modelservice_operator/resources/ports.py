"""Ports of the server's container, by name and number."""

HTTP = 8080
METRICS = 8082

HTTP_NAME = "http"
METRICS_NAME = "metrics"
