"""The text side of the vocabulary: a `tokenizers` file, local or from the hub."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from .errors import UserError, shown
from .models.checkpoints import INCLUDED, resolve_folder
from .utils.files import write_text
from .utils.text_files import ENCODING

END_OF_TEXT = "<|endoftext|>"
SMALLEST_SIZE = 257
"""Of a vocabulary that is trained: every byte, and the end of a text."""

FILE_NAME = "tokenizer.json"


class TextTokenizer:
    """A `tokenizer.json` whose `<|endoftext|>` begins and ends every text.

    A special token that is spelled out within a text is text: it neither ends it nor begins an
    image.

    Args:
        tokenizer: The loaded tokenizer.

    Attributes:
        bos_id: Begins every text.
        eos_id: Ends it.
        size: Number of text ids, added tokens and gaps included: one more than the largest id.

    Raises:
        UserError: If it has no `<|endoftext|>` token.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        end = tokenizer.token_to_id(END_OF_TEXT)
        if end is None:
            raise UserError(
                f"the tokenizer has no {END_OF_TEXT!r} token, which ends texts; name "
                "another tokenizer"
            )
        self.bos_id: int = end
        self.eos_id: int = end
        self.size: int = 1 + max(self.vocabulary.values())

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a `tokenizer.json`.

        Raises:
            UserError: If it is missing or not a tokenizer.
        """
        if not path.is_file():
            raise UserError(f"{path} does not exist; expected a tokenizer.json there, name one")
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding=ENCODING)))
        except UserError:
            raise
        except Exception as error:  # `tokenizers` raises a bare Exception for every bad file
            raise UserError(
                f"{path} is not a tokenizer file ({error}); expected what tokenizers writes, "
                "restore it"
            ) from None

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """Load a text tokenizer.

        Args:
            model: `shapes`, a `tokenizer.json`, a folder that holds one, or a hub id such as
                `microsoft/phi-1_5`.

        Raises:
            UserError: If there is none.
        """
        path = Path(model)
        if str(model) in INCLUDED:
            path = resolve_folder(model, "showo") / FILE_NAME
        elif path.is_dir():
            path = path / FILE_NAME
        elif not path.is_file():
            path = resolve_folder(model, "showo", patterns=(FILE_NAME,)) / FILE_NAME
        return cls.from_file(path)

    def save(self, path: Path) -> None:
        """Write it as a `tokenizer.json`, atomically."""
        write_text(path, self.tokenizer.to_str())

    @property
    def vocabulary(self) -> dict[str, int]:
        """The id of every token, added ones included."""
        return self.tokenizer.get_vocab(with_added_tokens=True)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its JSON."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without begin and end tokens.

        Raises:
            UserError: If it is not Unicode, or holds what the tokenizer has no token for, such as
                an end of text that it can write in one way only.
        """
        self.tokenizer.encode_special_tokens = True  # which copies do not keep
        try:
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        # A bare one where a token is missing, and one of types where a text is not Unicode.
        except Exception as error:
            raise UserError(
                f"the text {shown(text)} cannot be turned into tokens ({error}); expected Unicode "
                "that the tokenizer knows, rewrite it"
            ) from None
        if END_OF_TEXT in text and self.eos_id in ids:  # a plain word of the tokenizer
            raise UserError(
                f"the text {shown(text)} has {END_OF_TEXT!r} in it, which this tokenizer can only "
                "take for the end; expected text, rewrite it"
            )
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`; special tokens and ids outside the text vocabulary are left out."""
        text = [token for token in ids if 0 <= token < self.size and token != self.eos_id]
        decoded: str = self.tokenizer.decode(text, skip_special_tokens=True)
        return decoded


def train_tokenizer(texts: Iterable[str], size: int) -> TextTokenizer:
    """Train a byte-level BPE, which can encode any text.

    Args:
        texts: What it is to encode in few tokens.
        size: Number of tokens, the 256 bytes and `<|endoftext|>` included; fewer where the texts
            have not so many pairs.

    Raises:
        UserError: If the size leaves no room for all bytes.
    """
    if size < SMALLEST_SIZE:
        raise UserError(f"size is {size}; expected at least {SMALLEST_SIZE}, set it so")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return TextTokenizer(tokenizer)
