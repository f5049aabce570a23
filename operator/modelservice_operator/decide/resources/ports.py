"""Ports of the server's container, by name and number."""

HTTP = 8080
GRPC = 9000
METRICS = 8082

HTTP_NAME = "http"
GRPC_NAME = "grpc"
METRICS_NAME = "metrics"
