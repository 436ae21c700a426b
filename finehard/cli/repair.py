"""`finehard repair`: what a dataset lacks, made anew."""

from __future__ import annotations

import argparse

from finehard.console.arguments import Parser

TEXT = "make anew, and verify, the texts of a dataset that were found untrue or are missing"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command, but for those of the config."""
    command.add_argument("dataset", help="finished, for example by finehard import-release")
    command.add_argument("output", help="folder of the repaired dataset")


def run(chosen: argparse.Namespace) -> int:
    """Repairs, showing progress on standard error, and prints the summary."""
    from finehard.cli.build import running, summary
    from finehard.config import load_config
    from finehard.errors import UsageError
    from finehard.repair.repair import repair

    if chosen.config is None:
        raise UsageError("finehard repair needs --config: whose models?")
    config = load_config(chosen.config, chosen.set)
    with running() as progress:
        repaired = repair(
            config, chosen.dataset, chosen.output, beam=chosen.beam, progress=progress
        )
    print(summary(repaired))
    return 0
