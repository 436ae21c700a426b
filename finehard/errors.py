"""The errors a user is told about in one line: what is wrong, where, and what to do."""


class FinehardError(Exception):
    """Something stopped the command; the text is the one line the user reads. Exit code 1."""


class UsageError(FinehardError):
    """The arguments or the config are wrong; nothing was started. Exit code 2."""


def error_line(error: BaseException, limit: int = 300) -> str:
    """Returns the text of `error` on one line, at most `limit` characters."""
    return " ".join(str(error).split())[:limit]


def typed_error_line(error: BaseException, limit: int = 300) -> str:
    """Returns "Type: text" of `error` on one line, at most `limit` characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:limit]
