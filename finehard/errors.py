"""The errors a user is told about in one line: what is wrong, where, and what to do."""


class FinehardError(Exception):
    """Something stopped the command; the text is the one line the user reads. Exit code 1."""


class UsageError(FinehardError):
    """The arguments or the config are wrong; nothing was started. Exit code 2."""
