"""`finehard export`: a dataset in another program's format."""

from __future__ import annotations

import argparse

from finehard.console.arguments import Parser
from finehard.export.formats import FORMATS

TEXT = "write a dataset for another program, or, with --model, a trained model for open_clip"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command."""
    known = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    command.add_argument("--to", required=True, metavar="FORMAT",
                         help=f"{known}; or module:attribute")  # fmt: skip
    command.add_argument("dataset")
    command.add_argument("output", nargs="?", help="new folder (default: DATASET-FORMAT)")
    command.add_argument("--caption", default="long", choices=("long", "short", "mixed"),
                         help="where a format has one caption per image; mixed: either, by the key "
                         "(default: %(default)s)")  # fmt: skip


def run(chosen: argparse.Namespace) -> int:
    """Writes the export and prints its counts."""
    from finehard.export.export import export

    name = chosen.to.rsplit(":", 1)[-1]
    output = chosen.output or f"{chosen.dataset.rstrip('/')}-{name}"
    counts = export(chosen.dataset, output, chosen.to, chosen.caption)
    for what, number in counts.items():
        if number:
            print(f"{number:>12,} {what}")
    print(f"written to {output}")
    return 0
