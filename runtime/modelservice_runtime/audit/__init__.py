"""The audit log: one line for each request, who asked for what and whether that was allowed.

It stands around what the guard and the protocols do, and knows no payload. Whom the guard lets in is decided
in `auth`; the access log, which may leave requests out, is in `observe`.
"""
