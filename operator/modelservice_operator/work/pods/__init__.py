"""Reading the pods of services that are not available, and asking ready ones what they loaded.

What their state means is said in `explain.diagnose`.
"""
