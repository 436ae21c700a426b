"""`finehard curate` and `finehard fingerprint`: leave images out of a finished dataset."""

from __future__ import annotations

import argparse
import sys

from finehard.console.arguments import Parser
from finehard.console.messages import log_to_stderr

TEXT = "write a dataset without copies, images of evaluation sets and poor ones"
FINGERPRINT_TEXT = "write a file of an evaluation set's pictures, by which copies are found"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of `curate`."""
    command.add_argument("dataset")
    command.add_argument("--output", required=True, help="folder of the new dataset")
    command.add_argument("--config", help="YAML file with a section curate (default: copies within "
                         "the dataset only)")  # fmt: skip
    command.add_argument(
        "--set", action="append", default=[], metavar="curate.KEY=VALUE",
        help="overrides one setting; repeatable",
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> int:
    """Curates, and prints how many samples were left out, by reason."""
    from finehard.curating import curate, load_curate_config

    log_to_stderr()
    done = curate(
        chosen.dataset, chosen.output, load_curate_config(chosen.config, chosen.set), chosen.beam
    )
    for reason, number in sorted(done.left_out.items(), key=lambda each: -each[1]):
        print(f"{number:>12,} {reason}")
    counts = done.manifest["counts"]
    print(f"{counts['written']:>12,} samples stay\nwritten to {chosen.output}")
    return 0


def add_fingerprint_arguments(command: Parser) -> None:
    """Adds the arguments of `fingerprint`."""
    command.add_argument("images", nargs="+", help="folders, .tar or .parquet files, or lists")
    command.add_argument("--output", required=True, help="file to write, .parquet")
    command.add_argument("--name", help="of the set, in reasons (default: the file's name)")


def run_fingerprint(chosen: argparse.Namespace) -> int:
    """Writes the file, and prints how many pictures it has."""
    from finehard.curate.fingerprinting import fingerprint_images

    count = fingerprint_images(
        chosen.images, chosen.output, chosen.name,
        lambda line: print(f"finehard: not read: {line}", file=sys.stderr),
    )  # fmt: skip
    print(f"{count:,} pictures in {chosen.output}")
    return 0
