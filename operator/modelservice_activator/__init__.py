"""The activator: stands in for services that sleep, wakes them, and passes on what it has held.

It uses the operator's API, facts and client. Who sleeps, and who leads
clients here, is the operator's affair.
"""
