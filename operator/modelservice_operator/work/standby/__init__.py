"""What has to be asked before the activator stands in for a service, and before its pods lead again.

What follows from the answers is decided in `decide.standby`.
"""
