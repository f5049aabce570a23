"""The fields of an object: which are ours, whether two forms mean the same, whose stand in the way.

Pure; what is done about it lives in `work.writes`.
"""
