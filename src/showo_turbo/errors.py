"""The one exception that means "the input is wrong", as opposed to "the program is wrong"."""


class UserError(ValueError):
    """A mistake in what the user gave: a file, a value, a checkpoint.

    The message is one line that names the offending value, what was expected and what to do.
    The command line prints it without a traceback and exits with status 2.
    """
