"""OCI registries: `oci://`, from a login to the layers' files.

The HTTP client lives in `http`, archives in `files`.
"""
