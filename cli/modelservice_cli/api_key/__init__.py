"""`modelservice api-key`: makes, lists and revokes the keys of clients, in a file or in a Secret.

What a key file holds is `auth/api_keys.py` of the runtime; how to reach a cluster is in `rollout/cluster`.
"""
