"""Wakes services that sleep, by one write to `/scale`. When to sleep is not decided here."""
