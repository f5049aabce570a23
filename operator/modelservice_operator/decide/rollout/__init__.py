"""How many pods each revision gets next: history, limits, room, and the plan that goes by them.

Pure; what is built from the plan lives in `decide.resources`.
"""
