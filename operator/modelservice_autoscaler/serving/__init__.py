"""What others are told of a service's load: KEDA, by the gRPC interface of its external scalers.

Nothing is decided or written for it, so every replica answers, whoever leads.
"""
