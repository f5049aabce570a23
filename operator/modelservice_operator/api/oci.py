"""The grammar of OCI references, for images and for models in a registry.

Source: OCI Distribution Specification 1.1, "Pulling manifests", and the reference grammar of its
reference implementation. Patterns are in the common part of RE2 and `re`.
"""

HOST = r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
REPOSITORY = "[a-z0-9]+(([._]|__|-+|/)[a-z0-9]+)*"
TAG = ":[A-Za-z0-9_][-A-Za-z0-9._]{0,127}"
DIGEST = "@sha256:[0-9a-f]{64}"
