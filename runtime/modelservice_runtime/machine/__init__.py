"""What the machine gives this process and what the process owes it; nothing of requests."""
