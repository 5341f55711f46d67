"""Trains the text tokenizer of the shapes world."""

import sys
from pathlib import Path

from ..models.showo.sequences import format_question
from ..text_tokenizer import train_tokenizer
from .conversations import DESCRIBE_QUESTION
from .sampling import training_corpus


def train_text_tokenizer(path: Path, *, size: int = 640, scenes: int = 4000, seed: int = 0) -> None:
    """Train a byte-level BPE on the world's texts.

    Args:
        path: Where the `tokenizer.json` goes.
        size: Number of tokens, the 256 bytes and `<|endoftext|>` included.
        scenes: How many scenes' captions, questions, answers and documents it sees.
        seed: Of the world.
    """
    # The prompt's own words must become tokens as well.
    questions = [format_question(DESCRIBE_QUESTION)] * 100
    train_tokenizer([*training_corpus(seed=seed, count=scenes), *questions], size).save(path)


if __name__ == "__main__":
    train_text_tokenizer(Path(sys.argv[1]))
