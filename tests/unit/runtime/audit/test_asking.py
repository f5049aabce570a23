"""What a table notes of whom it is asked for."""

from unittest.mock import Mock

from modelservice_runtime.audit.asking import AskedTable, Notes
from modelservice_runtime.audit.line import Asked
from modelservice_runtime.generation.values import GenerationLane, GenerativeModel, TextModel
from modelservice_runtime.models.content import ModelContent


def test_a_model_that_generates_text_is_noted_with_its_digests_also_for_its_adapters() -> None:
    table = AskedTable()
    model = GenerativeModel("chat", "3", 0, Mock(spec=TextModel), Mock(spec=GenerationLane), ("law",))
    table.publish_generative(model)
    for digests in ((None, None), ("a" * 64, "b" * 64)):
        if digests[0] is not None:
            table.set_content("chat", "3", ModelContent(*digests, 10))
        for name in ("chat", "law"):
            table.notes = Notes()
            table.find_generative(name)
            assert table.notes.asked == Asked(name, "3", *digests)
