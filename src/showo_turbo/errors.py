"""The exceptions that mean "the input is wrong", as opposed to "the program is wrong"."""

import reprlib

_LONGEST_VALUE = 60


class UserError(ValueError):
    """A mistake in what the user gave: a file, a value, a checkpoint.

    The message is one line that names the offending value, what was expected and what to do.
    The command line prints it without a traceback and exits with status 2.
    """


class BadSample(UserError):
    """A mistake in one sample of a data set, which can be left out of it.

    The message names the sample, so that no two samples have the same.
    """


def check_kind(value: object, kind: type, name: str) -> None:
    """Raise if an object is not of the kind that is asked for.

    Args:
        value: The object.
        kind: The class that it should be of.
        name: What the object is, for the message.

    Raises:
        UserError: Naming the abstract methods that it lacks.
    """
    if isinstance(value, kind):
        return
    required = sorted(getattr(kind, "__abstractmethods__", ()))
    missing = [method for method in required if not callable(getattr(value, method, None))]
    lacking = f", which has no method {', '.join(missing)}" if missing else ""
    remedy = "derive its class from that" if required else "give one"
    raise UserError(
        f"{name} is of the class {type(value).__name__}{lacking}; expected a {kind.__name__}, "
        f"{remedy}"
    )


def printable(message: str) -> str:
    """Return a message as one line that no terminal takes for commands, however it was made.

    Names of files and values in a message may hold line breaks and control characters.
    """
    line = " ".join(message.split())
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in line
    )


def shown(value: object) -> str:
    """Return the `repr` of a value for a message, shortened where it is long or deeply nested."""
    limits = reprlib.Repr()
    limits.maxstring = limits.maxother = limits.maxlong = _LONGEST_VALUE
    limits.maxlevel = 3
    text = limits.repr(value)
    return text if len(text) <= 2 * _LONGEST_VALUE else f"{text[: 2 * _LONGEST_VALUE]}..."
