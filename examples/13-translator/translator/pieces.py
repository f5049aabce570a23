"""Pieces of words, learnt by byte pair encoding and kept as a `tokenizer.json` of Hugging Face."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
PAD, BEGIN, END, UNKNOWN = range(len(SPECIAL))
# Words, digits one by one, signs; each with the space before it.
_PATTERN = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+"
_ALPHABET = 300


class Vocabulary:
    """Texts to numbers and back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        names = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
        self.texts = ["" if number < len(SPECIAL) else name for number, name in enumerate(names)]

    @classmethod
    def learn(cls, texts: Iterable[str], size: int, template: str, most: int) -> "Vocabulary":
        """Learn pieces; the same texts give the same ones.

        Args:
            texts: What to learn from.
            size: How many pieces there may be.
            template: What stands around a text ("$A"), such as "$A </s>".
            most: How many pieces of a text are read, with those around it.
        """
        tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
        # The first word has a space before it, as all others have.
        tokenizer.normalizer = normalizers.Prepend(" ")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PATTERN), "removed", invert=True)
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(SPECIAL),
            min_frequency=2,
            limit_alphabet=_ALPHABET,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        framing = [(name, number) for number, name in enumerate(SPECIAL) if name in template.split()]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=framing)
        tokenizer.enable_truncation(most)
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read a `tokenizer.json`."""
        return cls(Tokenizer.from_file(str(path)))

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json`."""
        self._tokenizer.save(str(path))

    def __len__(self) -> int:
        return len(self.texts)

    def encode(self, text: str) -> list[int]:
        """Return the pieces of a text and those around it."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def encode_bare(self, text: str) -> list[int]:
        """Return the pieces of a text alone."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of pieces up to the end, without the space before it."""
        text = "".join(self.texts[number] for number in ids[: ids.index(END) if END in ids else None])
        return text.removeprefix(" ")
