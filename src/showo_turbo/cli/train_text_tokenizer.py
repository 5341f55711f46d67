"""`showo-turbo train-text-tokenizer`: a text tokenizer for one's own texts."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..data import CaptionSource, QuestionSource, TextSource
from ..data import files as _files  # noqa: F401  # so that their classes answer to bare names
from ..errors import UserError
from ..text_tokenizer import FILE_NAME, train_tokenizer
from .command_line import run_function


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_function(
        train_text_tokenizer,
        arguments,
        name="train-text-tokenizer",
        default_classes={
            "captions": "CaptionFiles",
            "instructions": "InstructionFiles",
            "web_text": "TextFiles",
        },
    )


def train_text_tokenizer(
    output: Path,
    captions: CaptionSource | None = None,
    instructions: QuestionSource | None = None,
    web_text: TextSource | None = None,
    size: int = 2000,
    max_texts: int = 1_000_000,
    overwrite: bool = False,
) -> None:
    """Train a text tokenizer on captions, questions and texts.

    A byte-level BPE, which can encode any text; `<|endoftext|>` is among its tokens. The text
    vocabulary of a model that is trained with it follows from it.

    Args:
        output: The `tokenizer.json` to write, or the folder that it goes into.
        captions: `--captions.images` and `--captions.annotations` are those of `CaptionFiles`,
            COCO's format; another source is named with `--captions my_captions.Mine`.
        instructions: Likewise, in LLaVA's format; the questions are read, not the answers.
        web_text: Likewise; `--web_text.files` are those of `TextFiles`.
        size: Number of tokens at most, the 256 bytes and `<|endoftext|>` included.
        max_texts: So many texts of each source are read at most.
        overwrite: Replace a tokenizer that is there. Models that were trained with it need it.
    """
    path = output if output.suffix == ".json" else output / FILE_NAME
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists; name another file, or give --overwrite")
    if max_texts < 1:
        raise UserError(f"max_texts is {max_texts}; expected at least 1, set it so")
    if captions is None and instructions is None and web_text is None:
        raise UserError("there are no texts to train on; name captions, instructions or web_text")

    def texts() -> Iterator[str]:
        if captions is not None:
            yield from captions.captions()[:max_texts]
        if instructions is not None:
            yield from (question for _, question in instructions.requests()[:max_texts])
        if web_text is not None:
            stream = web_text.open()
            for index in range(min(max_texts, len(stream))):
                yield stream.draw(index, seed=index)["text"]

    tokenizer = train_tokenizer(texts(), size)
    tokenizer.save(path)
    print(f"{tokenizer.size} tokens written to {path}")
