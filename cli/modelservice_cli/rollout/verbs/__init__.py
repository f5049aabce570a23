"""The verbs that look back or change something: history, diff, undo, requests to the operator. Pure.

How far a change is lives in `progress`; what is written is sent by `cluster`.
"""
