"""The finehard command."""

from finehard.cli.main import main, run

__all__ = ["main", "run"]
