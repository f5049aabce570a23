"""The only API client: requests, credentials, Events.

What is asked for, and when, is not known here.
"""
