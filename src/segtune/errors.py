"""The errors that a user can meet; each says what was given, what was expected, what to type.

Everything a user can cause is one of these or a plain `FileNotFoundError`; the command line prints
the message as one line and exits with status 2. Anything else is a bug and keeps its traceback.
"""


class SegtuneError(ValueError):
    """A mistake in what was asked for: bad option, bad vocabulary, mismatched sizes."""


class DataError(SegtuneError):
    """Something on disk is missing, unreadable, truncated or in an unknown layout."""


class WeightsError(SegtuneError):
    """A checkpoint or prompt file does not fit the model it is loaded into."""
