import string
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.api import canonical_quantity, parse_quantity

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "e3", "E-2", "e0"]
quantities = st.builds(
    lambda number, fraction, suffix: f"{number}{fraction}{suffix}",
    st.integers(0, 10**9),
    st.one_of(st.just(""), st.integers(0, 999_999_999).map(lambda digits: f".{digits}")),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("2.5Gi", "2560Mi"),
        ("0.1Gi", "107374182400m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.0001Ki", "1024102400u"),
        ("1023Ki", "1023Ki"),
        ("0.5Ki", "512"),
        ("0Ki", "0"),
        ("2000k", "2M"),
        ("12e2", "1200"),
        ("5e4", "50e3"),
        ("1e-1", "100e-3"),
        ("8Ei", "9223372036854775807"),
        ("0.0000000001", "1n"),
        ("-1500m", "-1500m"),
        ("-2Ki", "-2Ki"),
        ("-0", "0"),
    ],
)
def test_canonical_quantity_known_spelling_is_the_api_servers(written: str, stored: str) -> None:
    assert canonical_quantity(written) == stored


@pytest.mark.parametrize("text", ["", "1GB", "Gi", "1 Gi", "1e", "0x1", "1,5", "\u0661", "1Gi\n", "--1"])
def test_parse_quantity_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity such as"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("2Gi", "2147483648"), ("1.5k", "1500"), ("-3", "-3"), ("1e3", "1000"), ("7n", "7e-9")],
)
def test_parse_quantity_returns_exact_value(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@given(quantities)
def test_canonical_quantity_keeps_the_value_and_is_stable(text: str) -> None:
    canonical = canonical_quantity(text)
    assert parse_quantity(canonical) == parse_quantity(text)
    assert canonical_quantity(canonical) == canonical


@given(st.integers(1, 10**6), st.sampled_from(["m", "", "k", "M", "G"]))
def test_canonical_quantity_of_a_thousand_smaller_units_is_the_same(number: int, suffix: str) -> None:
    smaller = {"m": "u", "": "m", "k": "", "M": "k", "G": "M"}[suffix]
    assert canonical_quantity(f"{number * 1000}{smaller}") == canonical_quantity(f"{number}{suffix}")


@given(st.text(alphabet=string.digits + ".-+eEKMGimn ", max_size=12))
def test_canonical_quantity_any_text_gives_a_quantity_or_value_error(text: str) -> None:
    try:
        canonical = canonical_quantity(text)
    except ValueError:
        return
    assert parse_quantity(canonical) == parse_quantity(text)
