"""The loss terms of a run, as far as a plan knows what they need."""

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

from ..errors import UserError, check_kind
from ..losses.term import LossTerm
from ..losses.terms import published_losses

PASSES = {
    "logits": "logits",
    "labels": "logits",
    "target_logits": "target",
    "fixed_point_logits": "fixed_point",
    "noised_logits": "noised",
}
"""The pass that gives what a term asks for."""


def read_terms(
    options: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]
) -> tuple[list[LossTerm], bool]:
    """Read the loss terms, the published ones where none are named.

    Args:
        options: Of the module.
        stages: Of the curriculum, which may change the weights of terms.

    Returns:
        The terms that have a weight, there or in a stage; and whether the model that training
        started from is kept, which it is whatever the weights.

    Raises:
        UserError: If one of them is not a loss term, or asks for what a plan does not know.
    """
    named = options.get("losses")
    terms = {name: _term(given) for name, given in named.items()} if named else published_losses()
    weighted = {
        name: term
        for name, term in terms.items()
        if term.weight > 0
        or any((stage.get("loss_weights") or {}).get(name, 0) > 0 for stage in stages)
    }
    for name, term in weighted.items():
        unknown = [asked for asked in term.asks_for if asked not in PASSES]
        if unknown:
            raise UserError(
                f"plan cannot estimate the loss term {name}: {type(term).__name__} asks for "
                f"{', '.join(unknown)}; leave it out for what is needed without it"
            )
    return list(weighted.values()), any(term.needs_base for term in terms.values())


def _term(given: Mapping[str, Any]) -> LossTerm:
    """A loss term as the configuration describes it.

    Raises:
        UserError: If it is not a loss term.
    """
    kind = resolve_name(given["class_path"])
    term = kind(**(given.get("init_args") or {}))
    check_kind(term, LossTerm, "a term of the loss")
    return term  # type: ignore[no-any-return]
