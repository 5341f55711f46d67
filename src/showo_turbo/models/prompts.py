"""Prompts as ids, checked against their length."""

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
