"""Letters whose other case is several characters are refused; where they make no difference, they are not."""

import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.folding import check_folding
from modelservice_pipeline.text.pattern import parse

ONE_FOR_SEVERAL = ["ß", "straße", "ss", "ﬁ", "fi", "İ", "[ß]x", r"[\p{L}]x", "[ß]+", "a|st", "(?:s)s"]


@pytest.mark.parametrize("pattern", ONE_FOR_SEVERAL)
def test_one_character_that_fits_several_is_refused(pattern: str) -> None:
    for source in (f"(?i:{pattern})", f"(?i){pattern}", rf"a|\s(?i:{pattern})"):
        with pytest.raises(PipelineError, match="number of characters"):
            check_folding(parse(source))


@pytest.mark.parametrize(
    "pattern", ["'s|'t|'re|'ve|'m|'ll|'d", "[a-z]+", "k+", "abc", "s|t", "[s]s", "[ßs]+", r"\p{L}x"]
)
def test_other_letters_are_not(pattern: str) -> None:
    check_folding(parse(f"(?i:{pattern})"))


def test_case_is_ignored_in_all_that_follows_in_the_group() -> None:
    assert parse("b(?i)a|s") == parse("b(?i:a|s)")
    assert parse("(?:b(?i)a|s)|c") == parse("(?:b(?i:a|s))|c")


@pytest.mark.parametrize("pattern", ONE_FOR_SEVERAL)
def test_where_case_counts_nothing_is_refused(pattern: str) -> None:
    check_folding(parse(pattern))
