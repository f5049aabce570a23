"""The date of every answer, against the standard library's."""

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.transport.http import render_date


@given(st.integers(0, 2**35) | st.floats(0, 2**33))
def test_render_date_writes_what_email_writes(unix_seconds: float) -> None:
    assert render_date(unix_seconds) == formatdate(unix_seconds, usegmt=True).encode()
