"""Prompts as ids, checked against their length, and the tokenizer that makes them."""

from collections.abc import Sequence

from ..errors import UserError
from ..text_tokenizer import TextTokenizer
from .protocols import ImageModel


def encode_prompts(
    model: ImageModel, text_tokenizer: TextTokenizer | None, texts: Sequence[str]
) -> list[list[int]]:
    """Ids of prompts. Nothing is ever cut silently.

    Raises:
        UserError: If one has too many ids, or the family cannot make anything of it.
    """
    prompts = [model.encode_prompt(text_tokenizer, text) for text in texts]
    for text, ids in zip(texts, prompts, strict=True):
        if len(ids) > model.longest_prompt:
            raise UserError(
                f"the prompt {text[:60]!r} has {len(ids)} tokens; at most {model.longest_prompt} "
                "fit: shorten it"
            )
    return prompts


def required_tokenizer(model: ImageModel, text_tokenizer: TextTokenizer | None) -> TextTokenizer:
    """The text tokenizer of a family that needs one.

    Raises:
        UserError: If there is none.
    """
    if text_tokenizer is None:
        raise UserError(
            f"{type(model).__name__} has no text tokenizer here; name one with text_tokenizer"
        )
    return text_tokenizer
