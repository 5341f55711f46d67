"""Settings of one request, named as `generate` of transformers and the tasks of lmms-eval do."""

from collections.abc import Mapping
from typing import Any

from ..errors import UserError, shown
from ..sampling.text_decoding import DecodingChanges, TextDecoding


def decoding_of(settings: Mapping[str, Any], decoding: TextDecoding) -> TextDecoding:
    """How a request is to be answered.

    Args:
        settings: Of the request. Counted are `max_new_tokens`, `do_sample`, `temperature`, `top_k`
            and `top_p`; what is missing or None is for the model to say. Tokens are drawn where
            `do_sample` says so or, without it, where the temperature is above 0; by block
            diffusion from all of them, whatever `top_k` and `top_p` say.
        decoding: How the model answers where the request says nothing.

    Raises:
        UserError: If a value is not a number, or is out of range.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    names = ("max_new_tokens", "temperature", "top_k", "top_p")
    numbers = {name: _number(given[name], name) for name in names if name in given}
    changes: dict[str, Any] = {}
    if "max_new_tokens" in numbers:
        changes["max_new_tokens"] = int(numbers["max_new_tokens"])
    temperature = numbers.get("temperature", decoding.temperature)
    draws = given.get("do_sample", temperature > 0) and numbers.get("temperature") != 0
    if draws and decoding.method == "block_diffusion":
        changes["temperature"] = temperature or 1.0
    elif draws:
        changes |= {
            "method": "autoregressive",
            "temperature": temperature or 1.0,
            "top_k": int(numbers["top_k"]) or None if "top_k" in numbers else decoding.top_k,
            "top_p": numbers.get("top_p", decoding.top_p),
        }
    elif decoding.temperature > 0:
        changes["temperature"] = 0.0
    chosen = DecodingChanges.of(changes).over(decoding)
    chosen.check()
    return chosen


def _number(value: object, name: str) -> float:
    """A number, which may be written as a text."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UserError(
            f"a request has {shown(value)} for {name!r}; expected a number, correct the task"
        ) from None
