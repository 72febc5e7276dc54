"""The one exception that the command line turns into a line of text and exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InputError", "as_input_error"]


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


@contextmanager
def as_input_error() -> Iterator[None]:
    """Turn what the library refuses before it works into one line for the user."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error
