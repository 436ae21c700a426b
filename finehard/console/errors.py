"""Reports a failed command: one line on standard error, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from finehard.errors import FinehardError, UsageError, error_line


def exit_code(command: Callable[[], int], debug: bool = False) -> int:
    """Runs `command` and returns its exit code: 1 if it failed, 2 for wrong arguments.

    A failure is one line on standard error; with `debug` the exception is raised.
    """
    try:
        return command()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"finehard: {_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _line(error: Exception) -> str:
    if isinstance(error, FinehardError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error_line(error)} (--debug shows more)"
