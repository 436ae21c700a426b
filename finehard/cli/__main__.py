"""`python -m finehard.cli` is the finehard command."""

from finehard.cli.main import run

run()
