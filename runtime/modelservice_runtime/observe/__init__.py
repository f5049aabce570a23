"""What the server tells of its requests: access log, traces, metrics. Off, logs and traces cost nothing.

Front ends are wrapped from outside; what they see becomes an `Exchange`, which a thread of its own turns
into log lines and spans.
"""
