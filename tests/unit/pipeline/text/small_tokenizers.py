"""Small tokenizers that the library trains on the texts that we bring."""

from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from modelservice_pipeline.text.corpus import TEXTS

SPECIALS = ["<pad>", "<unk>", "<s>", "</s>", "[MASK]"]
_TRAINERS = {
    "BPE": trainers.BpeTrainer,
    "WordLevel": trainers.WordLevelTrainer,
    "WordPiece": trainers.WordPieceTrainer,
}


def train(tokenizer: Tokenizer, **options: Any) -> Tokenizer:
    trainer = _TRAINERS[type(tokenizer.model).__name__](
        vocab_size=700, special_tokens=SPECIALS, show_progress=False, **options
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def byte_level(pre_tokenizer: Any, normalizer: Any = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return train(tokenizer, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def bert(**options: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    train(tokenizer, limit_alphabet=150)
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> $B </s>", [("<s>", 2), ("</s>", 3)]
    )
    return tokenizer
