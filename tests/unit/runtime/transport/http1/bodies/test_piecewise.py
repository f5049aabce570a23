from modelservice_runtime.transport.http1.bodies.piecewise import PIECE_BYTES, Piecewise


def test_large_answers_are_written_in_pieces_and_in_order() -> None:
    written: list[bytes] = []
    answers = Piecewise(lambda piece: written.append(bytes(piece)))
    buffers = [
        b"head",
        bytes(PIECE_BYTES + 1),
        bytearray(b"x" * 10),
        memoryview(b"y" * (2 * PIECE_BYTES)),
        b"",
    ]
    answers.put(buffers)
    assert answers.size_bytes == 3 * PIECE_BYTES + 15
    while answers.write_next():
        assert answers.size_bytes == 3 * PIECE_BYTES + 15 - sum(map(len, written))
    assert b"".join(written) == b"".join(buffers)
    assert max(map(len, written)) == PIECE_BYTES
