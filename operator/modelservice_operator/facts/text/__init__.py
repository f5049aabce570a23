"""Reading small texts: Kubernetes' quantities and times, and what strangers say, made fit for a status.

Pure, and of no other room's words.
"""
