"""Reading, cleaning and splitting the messages."""

import random

import pytest
from spam.data import (
    DataError,
    Message,
    drop_near_duplicates,
    parse_messages,
    similarity_key,
    split_messages,
)


def make_messages(count: int) -> list[Message]:
    return [Message(f"message {chr(97 + i % 26)}{'x' * (i // 26)}", is_spam=i % 7 == 0) for i in range(count)]


def test_parse_messages_lines_give_label_and_text():
    raw = "ham\tHi, £5?\nspam\tWIN\tnow\n\n".encode()
    assert parse_messages(raw) == [Message("Hi, £5?", is_spam=False), Message("WIN\tnow", is_spam=True)]


@pytest.mark.parametrize("line", ["ham without a tab", "eggs\ttext", "\ttext"])
def test_parse_messages_bad_line_names_the_line(line):
    with pytest.raises(DataError, match="line 2: expected 'ham' or 'spam'"):
        parse_messages(f"ham\tfine\n{line}\n".encode())


def test_similarity_key_same_campaign_other_number_is_equal():
    assert similarity_key("WIN £100! Call 08001234567.") == similarity_key("win £200 call 08007654321")
    assert similarity_key("call me") != similarity_key("call mum")


def test_drop_near_duplicates_keeps_the_first_in_order():
    messages = [
        Message("Call 1", is_spam=True),
        Message("b", is_spam=False),
        Message("call 2!", is_spam=True),
    ]
    assert drop_near_duplicates(messages) == messages[:2]


def test_split_messages_parts_are_disjoint_complete_and_near_their_share():
    messages = make_messages(2000)
    split = split_messages(messages)
    parts = (split.train, split.validation, split.test)
    keys = [{similarity_key(message.text) for message in part} for part in parts]
    assert len(keys[0] | keys[1] | keys[2]) == sum(len(part) for part in parts) == 2000
    assert [len(part) / 2000 for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.05)


def test_split_messages_shuffled_input_gives_the_same_parts():
    messages = make_messages(300)
    shuffled = random.Random(5).sample(messages, len(messages))
    assert set(split_messages(messages).test) == set(split_messages(shuffled).test)
