"""Options of commands that hand what they do not know on to `fit`."""

from argparse import ArgumentParser
from typing import NoReturn

from ..errors import UserError


class PlainOptions(ArgumentParser):
    """The standard library's parser, whose errors reach the user as a `UserError` of one line."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError` instead of printing the usage.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{message}; see {self.prog} --help")
