import argparse
from pathlib import Path

import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.arguments import add_endpoint_arguments, build_access, open_predictor


def parse(*flags: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_endpoint_arguments(parser)
    return parser.parse_args([str(flag) for flag in flags])


def test_keys_and_headers_come_from_files_variables_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("k1\n")
    (tmp_path / "token").write_text("t1")
    monkeypatch.setenv("SPAM_KEY", "k2")
    headers = build_access(parse("--api-key-file", tmp_path / "key", "--header", "X-Team: mail")).headers
    assert headers() == {"X-Api-Key": "k1", "X-Team": "mail"}
    assert build_access(parse("--api-key-env", "SPAM_KEY")).headers() == {"X-Api-Key": "k2"}
    headers = build_access(parse("--token-file", tmp_path / "token")).headers
    assert headers() == {"Authorization": "Bearer t1"}
    (tmp_path / "token").write_text("t2")
    assert headers() == {"Authorization": "Bearer t2"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--api-key-file", "nowhere"), "cannot read nowhere"),
        (("--api-key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY is not set"),
        (("--api-key-env", "A", "--api-key-file", "b"), "exclude each other"),
        (("--header", "no colon"), "expected 'NAME: VALUE'"),
        (("--header", "X-A: a\r\nX-B: b"), "expected 'NAME: VALUE'"),
        (("--client-key", "k.pem"), "needs --client-cert"),
    ],
)
def test_flags_that_cannot_be_used_are_told(flags: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        build_access(parse(*flags))


@pytest.mark.parametrize("flags", [("--timeout", "nan"), ("--timeout", "0"), ("--concurrency", "-1")])
def test_numbers_are_checked(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*flags)
    assert "expected" in capsys.readouterr().err


def test_a_file_with_two_lines_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a\nb")
    with pytest.raises(PipelineError, match="one line"):
        build_access(parse("--api-key-file", tmp_path / "key"))


def test_a_target_that_is_neither_file_nor_url_is_told() -> None:
    with pytest.raises(PipelineError, match="is no file, and no URL"):
        open_predictor("spam", parse())
