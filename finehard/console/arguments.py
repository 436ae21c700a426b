"""Arguments of commands: what is wrong with them is told in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from finehard.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UsageError` instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raises it."""
        raise UsageError(f"{message} ({self.prog} --help shows the usage)")
