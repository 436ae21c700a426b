"""`finehard publish`: the copy of a dataset that others get."""

from __future__ import annotations

import argparse

from finehard.console.arguments import Parser

TEXT = "write the copy of a dataset that is published: named, licensed, without local paths"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command."""
    command.add_argument("dataset")
    command.add_argument("output", help="folder of the copy")
    command.add_argument("--name", required=True, help="of the dataset, for people")
    command.add_argument("--license", required=True, metavar="ID", help="of the annotations, as "
                         "the Hub names it: cc-by-4.0, apache-2.0, other, ...")  # fmt: skip
    command.add_argument("--author", action="append", default=[], metavar="NAME",
                         help="for CITATION.cff; repeatable")  # fmt: skip
    command.add_argument("--contact", metavar="ADDRESS", help="where people ask for the removal of "
                         "an image (default: the discussions of the dataset's page)")  # fmt: skip
    command.add_argument("--input-name", metavar="NAME", help="stands for the input in source_uri "
                         "(default: its last component)")  # fmt: skip
    command.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")


def run(chosen: argparse.Namespace) -> int:
    """Publishes, and prints what is in the copy."""
    from finehard.errors import UsageError
    from finehard.publish.about import About
    from finehard.publish.publish import publish

    if chosen.workers is not None and chosen.workers < 1:
        raise UsageError(f"--workers {chosen.workers} is less than 1")
    about = About(chosen.name, chosen.license, tuple(chosen.author), chosen.contact)
    published = publish(chosen.dataset, chosen.output, about, chosen.input_name, chosen.workers)
    counts = published.manifest["counts"]
    print(f"{counts['written']:,} samples of {published.manifest['input']} in {published.output}")
    return 0
