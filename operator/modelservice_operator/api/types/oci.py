"""The grammar of OCI references, for images and for models in a registry.

Source: OCI Distribution Specification 1.1, "Pulling manifests", and the reference grammar of its
reference implementation. Patterns are in the common part of RE2 and `re`.
"""

_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
HOST = rf"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:{_PORT})?"
"""A host name or an address, with an optional port from 1 to 65535."""
REPOSITORY = "[a-z0-9]+(([._]|__|-+|/)[a-z0-9]+)*"
TAG = ":[A-Za-z0-9_][-A-Za-z0-9._]{0,127}"
DIGEST = "@sha256:[0-9a-f]{64}"
