import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.facts.text.redact import MAX_CHARACTERS, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pull https://user:pa55@host/x failed", "pull https://***@host/x failed"),
        ("GET https://h/m.onnx?X-Amz-Signature=abc&y=1 gave 403", "GET https://h/m.onnx?*** gave 403"),
        ("Authorization: Bearer abcdefgh12345 refused", "Authorization: Bearer *** refused"),
        ('{"password": "hunter2", "user": "me"}', '{"password": "***", "user": "me"}'),
        ("aws_secret_access_key=abc/def+1 is wrong", "aws_secret_access_key=*** is wrong"),
        ("key AKIAABCDEFGHIJKLMNOP denied", "key *** denied"),
        ('secret "s3-models" not found', 'secret "s3-models" not found'),
        ("line one\nforged: line\ttwo\x1b[31m", "line one forged: line two [31m"),
    ],
)
def test_redact_masks_secrets_and_keeps_the_rest(text: str, expected: str) -> None:
    assert redact(text) == expected


@given(st.text(max_size=3000))
def test_redact_any_text_is_one_bounded_printable_line(text: str) -> None:
    line = redact(text)

    assert len(line) <= MAX_CHARACTERS
    assert line == "" or line.isprintable()


@given(st.from_regex("[A-Za-z0-9!*_-]{12,40}", fullmatch=True))
def test_redact_password_in_a_url_never_survives(password: str) -> None:
    assert password not in redact(f"cannot pull https://robot:{password}@registry.example/x: denied")
