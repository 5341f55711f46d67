"""Trains the text tokenizer of the shapes world."""

import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..models.showo.sequences import format_question
from ..text_tokenizer import END_OF_TEXT
from ..utils.files import write_atomically
from .conversations import DESCRIBE_QUESTION
from .sampling import training_corpus


def train_text_tokenizer(path: Path, *, size: int = 640, scenes: int = 4000, seed: int = 0) -> None:
    """Train a byte-level BPE on the world's texts, so that any text can be encoded.

    Args:
        path: Where the `tokenizer.json` goes.
        size: Number of tokens, the 256 bytes and `<|endoftext|>` included.
        scenes: How many scenes' captions, questions, answers and documents it sees.
        seed: Of the world.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The prompt's own words must become tokens as well.
    questions = [format_question(DESCRIBE_QUESTION)] * 100
    tokenizer.train_from_iterator([*training_corpus(seed=seed, count=scenes), *questions], trainer)
    with write_atomically(path) as temporary:
        tokenizer.save(str(temporary))


if __name__ == "__main__":
    train_text_tokenizer(Path(sys.argv[1]))
