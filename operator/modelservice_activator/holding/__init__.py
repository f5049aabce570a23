"""Requests that wait for a pod: how many may, how long, and which pod each of them gets.

What a request is made of, and how it reaches its pod, lives in `relaying`.
"""
