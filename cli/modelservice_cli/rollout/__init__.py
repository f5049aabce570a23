"""`modelservice rollout`: shows rollouts in a cluster, steers them, and takes them back.

What is shown and what is written is planned in pure modules; `cluster` alone talks to the API server and
`live` alone draws in a terminal. What a rollout does next is decided by the operator, not here.
"""
