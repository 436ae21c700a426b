"""Command-line arguments, whose errors are reported in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from finehard.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UsageError` instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raises `UsageError`."""
        raise UsageError(f"{message} ({self.prog} --help shows the usage)")
