"""`finehard cancel`: ends the job that builds a dataset."""

from __future__ import annotations

import argparse

from finehard.console.arguments import Parser

TEXT = "cancel the job that builds a dataset; Beam options, such as a store's, go after --"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command."""
    command.add_argument("output", help="folder of the dataset")


def run(chosen: argparse.Namespace) -> int:
    """Cancels the job, and says so."""
    from finehard.attaching import cancel

    job = cancel(chosen.output, chosen.beam)
    print(f"cancelled {job}; everything answered so far is kept")
    return 0
