import pytest
from hypothesis import given
from hypothesis.strategies import characters, text

from modelservice_runtime.errors import ServingError
from modelservice_runtime.protocols.tensors.json_codec import write_json
from modelservice_runtime.transport.status import ERRORS, GrpcStatus, error_body, error_response, grpc_error


def test_every_error_has_a_status_in_every_protocol() -> None:
    assert set(ERRORS) == set(ServingError.__subclasses__())
    for error in ERRORS:
        assert 400 <= error_response(error("a sentence")).status < 600
        answer = grpc_error(error("a sentence"))
        assert (answer.message, answer.status is GrpcStatus.OK) == ("a sentence", False)


def test_client_and_server_faults_are_told_apart_alike() -> None:
    client_faults = {GrpcStatus.INVALID_ARGUMENT, GrpcStatus.NOT_FOUND, GrpcStatus.UNAUTHENTICATED}
    for mapping in ERRORS.values():
        if mapping.grpc_status in client_faults:
            assert mapping.status < 500
        if mapping.grpc_status is GrpcStatus.INTERNAL:
            assert mapping.status == 500


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "input 'x' has 3 values",
        'quotes " and \\ and /slashes/',
        "".join(map(chr, range(0x20))),
        "\x7f\x80\x9f\xa0\u2028\u2029\ufeff",
        "żółw 模型 \U0001f984 \U0010ffff",
        "<script>&amp;</script>",
        "a" * 100_000,
    ],
)
def test_error_body_is_what_the_codec_of_answers_would_write(sentence: str) -> None:
    assert error_body(sentence) == write_json({"error": sentence}, 0, len(sentence))


@given(text(characters(exclude_categories=["Cs"])))
def test_error_body_of_any_sentence_is_what_the_codec_of_answers_would_write(sentence: str) -> None:
    assert error_body(sentence) == write_json({"error": sentence}, 0, len(sentence))


def test_error_body_of_what_no_text_may_hold_is_an_answer_all_the_same() -> None:
    assert error_body("a file named \udcff") == b'{"error":"a file named ?"}'
