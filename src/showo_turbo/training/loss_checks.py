"""Whether the terms of a loss can be computed, before anything is."""

from collections.abc import Mapping

from ..errors import UserError, check_kind, shown
from ..losses.term import LossTerm
from ..models.masked_text import MaskedTextModel
from ..models.protocols import ImageModel
from .inputs import STREAMS


def check_text_terms(losses: Mapping[str, LossTerm], model: ImageModel) -> None:
    """Raise if a term is for texts that are written in another way than the model does.

    Args:
        losses: The terms by name; those without a weight are passed over.
        model: Of any family.

    Raises:
        UserError: Naming the first such term, and those for texts as this model writes them.
    """
    denoises = isinstance(model, MaskedTextModel)
    for name, term in losses.items():
        if term.weight == 0 or term.stream == "image" or term.text_kind is None:
            continue
        if denoises != (term.text_kind == "denoised"):
            kinds = {True: "is denoised", False: "is written from left to right"}
            terms = {
                True: "ImageRegularizer and ImageConsistency with stream text, or MaskedTextLoss",
                False: "TextRegularizer, TextConsistency or LanguageModelLoss",
            }
            raise UserError(
                f"losses.{name} is {type(term).__name__} on the stream {term.stream}, for text "
                f"that {kinds[not denoises]}, but that of {type(model).__name__} {kinds[denoises]};"
                f" choose {terms[denoises]}"
            )


def check_losses(losses: Mapping[str, LossTerm]) -> None:
    """Raise if no loss could be computed of these terms.

    Raises:
        UserError: If there are none, one is not a `LossTerm`, its stream does not exist, or all
            weights are 0.
    """
    for name, term in losses.items():
        check_kind(term, LossTerm, f"losses.{name}")
        if not (hasattr(term, "stream") and hasattr(term, "weight")):
            raise UserError(
                f"losses.{name}: {type(term).__name__} has no stream and no weight; call "
                "super().__init__(stream, weight) in its __init__"
            )
        if name == "loss":
            raise UserError(
                "losses.loss has the name of the sum of all terms, train/loss; give the term "
                "another"
            )
        if term.stream not in STREAMS:
            raise UserError(
                f"losses.{name} has the stream {shown(term.stream)}; expected one of "
                f"{', '.join(STREAMS)}, correct it"
            )
        for asked in term.asks_for:
            if not any(hasattr(kind, asked) for kind in STREAMS[term.stream]):
                raise UserError(
                    f"losses.{name} asks for {shown(asked)}, which the stream {term.stream} does "
                    "not have; see showo_turbo.losses.term, and correct asks_for"
                )
    if not any(term.weight > 0 for term in losses.values()):
        raise UserError(
            f"all weights of the loss terms ({', '.join(losses) or 'there are none'}) are 0; "
            "expected one above 0, set it"
        )
