"""The one exception that the command line turns into a line of text and exit code 2."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Input that cannot be used.

    The message is one line: what is wrong, then what to do about it.

    Examples
    --------
    >>> raise InputError("scan.h5 is empty (0 bytes); copy the file again")
    Traceback (most recent call last):
    ...
    wellposed.app.errors.InputError: scan.h5 is empty (0 bytes); copy the file again
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
