"""What people read: conditions, status and root causes.

Pure; what is done about it lives in decide.
"""
