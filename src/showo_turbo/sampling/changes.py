"""Options of which only some are given: the fields of an options class, each of them optional."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, get_type_hints

from ..errors import UserError, shown

Options = TypeVar("Options")


@dataclass(frozen=True)
class Changes(Generic[Options]):
    """Changes over a set of options; what is None stays as it is. See `changes_class`."""

    refined_by: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @staticmethod
    def adapt(before: Any, changed: Any, given: Mapping[str, Any]) -> Any:
        """Options that fit together, of those before and after the changes and what was given."""
        return changed

    @classmethod
    def of(cls, changes: Mapping[str, object]) -> Self:
        """The changes with these names.

        Raises:
            UserError: If there is no option of a name.
        """
        known = [option.name for option in fields(cast(Any, cls))]
        for name in changes:
            if name not in known:
                close = get_close_matches(name, known, n=1, cutoff=0.5)
                remedy = f"did you mean {close[0]}?" if close else "leave it out"
                raise UserError(
                    f"there is no option {shown(name)}; expected one of {', '.join(known)}; "
                    f"{remedy}"
                )
        return cls(**changes)

    def over(self, options: Options) -> Options:
        """Return options with these changes.

        What only refines an option that is given goes back to its default, unless it is given too.
        """
        given = {
            option.name: value
            for option in fields(cast(Any, self))
            if (value := getattr(self, option.name)) is not None
        }
        plain = {option.name: option.default for option in fields(cast(Any, options))}
        refined = {
            refinement: plain[refinement]
            for name in given
            for refinement in self.refined_by.get(name, ())
        }
        changed = replace(cast(Any, options), **(refined | given))
        return cast(Options, self.adapt(options, changed, given))


def changes_class(
    options: type,
    name: str,
    module: str,
    *,
    refined_by: Mapping[str, tuple[str, ...]],
    adapt: Callable[[Any, Any, Mapping[str, Any]], Any] = Changes.adapt,
) -> type:
    """Make the class of the changes over an options class.

    It has the fields of the options class with their types and documentation, each None by default,
    so that an option is written down once.

    Args:
        options: A frozen dataclass with defaults, documented under `Args:`.
        name: Name of the new class.
        module: Name of the module that it is in.
        refined_by: For an option those that only refine it, and so go with it.
        adapt: Takes the options before and after, and what was given; returns options that fit
            together.
    """
    hints = get_type_hints(options)
    summary, _, documented = (inspect.getdoc(options) or "").partition("\nArgs:")
    summary = summary.partition("\n")[0].rstrip(".")
    rules = "; ".join(
        f"`{option}` resets {', '.join(f'`{refinement}`' for refinement in refinements)}"
        for option, refinements in refined_by.items()
    )
    doc = (
        f"{summary}; what is not given stays as it is.\n\n"
        f"What only refines another option goes with it: {rules}.\n\nArgs:{documented}"
    )
    made = make_dataclass(
        name,
        [
            (option.name, hints[option.name] | None, field(default=None, hash=option.hash))
            for option in fields(options)
        ],
        bases=(Changes,),
        namespace={
            "__doc__": doc,
            "__module__": module,
            "refined_by": dict(refined_by),
            "adapt": staticmethod(adapt),
        },
        frozen=True,
    )
    return made
