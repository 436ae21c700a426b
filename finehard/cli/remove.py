"""`finehard remove`: samples taken out of a finished dataset, on request."""

from __future__ import annotations

import argparse

from finehard.console.arguments import Parser

TEXT = "remove samples from a finished dataset, for good: no later build brings them back"
_SHOWN = 20


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command."""
    command.add_argument("dataset")
    command.add_argument("--list", required=True, metavar="FILE", help="URLs, keys or SHA-256 of "
                         "images, one a line; or .csv or .jsonl with url, key, sha256")  # fmt: skip


def run(chosen: argparse.Namespace) -> int:
    """Removes, and prints what was removed and which entries name no sample."""
    from finehard.publish.remove import remove

    removed = remove(chosen.dataset, chosen.list)
    for value in removed.unmatched[:_SHOWN]:
        print(f"names no sample: {value}")
    if (more := len(removed.unmatched) - _SHOWN) > 0:
        print(f"... and {more:,} more that name no sample")
    kinds = ", ".join(f"{number:,} by {kind}" for kind, number in removed.samples.items())
    print(
        f"{removed.samples.total():,} samples removed{f' ({kinds})' if kinds else ''}, "
        f"{removed.shards:,} shards written again"
    )
    return 0
