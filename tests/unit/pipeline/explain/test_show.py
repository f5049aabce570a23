import re
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.unit.pipeline.explain.played_models import counting

from modelservice_pipeline.explain.explain import METHODS, Method, Options
from modelservice_pipeline.explain.explanation import Explanation
from modelservice_pipeline.explain.request import Question, explain_given
from modelservice_pipeline.explain.show import printable, to_html, to_png, to_sentences, to_table
from modelservice_pipeline.explain.subject import Target
from modelservice_pipeline.explain.words import split_words

HOSTILE = "<script>alert(1)</script> \"'><img src=http://x/y onerror=z> &amp; \x1b[31m $x_1$ 免费 mum"


def explained(text: str, method: Method = "exact") -> Explanation:
    question = Question(Options(method), each_word=False)
    return explain_given(counting(mum=1.0, script=2.0), text, None, question)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href", "onerror"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("method", METHODS)
def test_a_page_runs_nothing_asks_nobody_and_shows_the_text(method: Method) -> None:
    words = split_words(HOSTILE)
    page = to_html(explained(HOSTILE, method), words)
    reader = Reader()
    reader.feed(page)
    assert not {"script", "img", "link", "iframe"} & set(reader.tags)
    assert HOSTILE in "".join(reader.texts)
    assert "default-src 'none'" in page


def test_a_table_and_sentences_hold_no_commands_for_terminals() -> None:
    names, values = ("a\x1b[31m|b\n", "c" * 80), ("\u202e", "")
    target = Target("p\x1b[2J", 0)
    explanation = Explanation("exact", target, names, values, np.array([1.0, -2.0]), 0.0, -1.0, 4, 4, 0)
    text = to_table(explanation) + "".join(to_sentences(explanation))
    assert not re.search(r"[\x1b\u202e]", text)
    assert text.splitlines()[2].startswith("| " + "c" * 37 + "...")


def test_a_picture_takes_any_word() -> None:
    assert to_png(explained(HOSTILE)).startswith(b"\x89PNG")


def test_a_text_without_weights_has_a_page_and_a_picture() -> None:
    explanation = explained("nothing here counts")
    assert "nothing here counts" in to_html(explanation, split_words("nothing here counts"))
    assert to_png(explanation).startswith(b"\x89PNG")


def test_printable_keeps_letters_of_all_scripts() -> None:
    assert printable("für 免费 हिन्दी") == "für 免费 हिन्दी"
