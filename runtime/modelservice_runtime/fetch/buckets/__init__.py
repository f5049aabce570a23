"""Object stores: `s3://`, `gs://` and `az://` through obstore, who asks, and the guarding proxy.

What is done with the bytes lives in `files`.
"""
