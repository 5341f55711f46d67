"""Values of parsed JSON records, checked one by one."""

from typing import Any

from ..errors import BadSample, shown


def text_field(record: Any, key: str, where: str) -> str:
    """The text under `key`, without surrounding white space.

    Args:
        record: What JSON gave, hopefully an object.
        key: Name of the value.
        where: What the record is, for the message.

    Raises:
        BadSample: If there is no text, it is empty, or is not Unicode.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, str):
        raise _wrong(value, key, "a text", where)
    text = value.strip()
    if text and text.isascii():  # millions of texts are read
        return text
    return written(text, repr(key), where)


def integer_field(record: Any, key: str, where: str) -> int:
    """The whole number under `key`; see `text_field`.

    Raises:
        BadSample: If there is none.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if type(value) is not int:  # `True` is an int to isinstance
        raise _wrong(value, key, "an integer", where)
    return value


def written(text: str, name: str, where: str) -> str:
    """A text without surrounding white space, of which something must be left.

    Raises:
        BadSample: If it is empty, or is not Unicode.
    """
    text = text.strip()
    if not text:
        raise BadSample(f"{where} has an empty text for {name}; fill it in or remove the sample")
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadSample(
            f"{where} has the lone surrogate {text[error.start]!r} in {name}; expected Unicode, "
            "rewrite it"
        ) from None
    return text


def _wrong(value: Any, key: str, expected: str, where: str) -> BadSample:
    found = "nothing" if value is None else shown(value)
    return BadSample(f"{where} has {found} for {key!r}; expected {expected}, correct or remove it")
