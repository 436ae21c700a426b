"""`finehard push`: a published dataset to the Hugging Face Hub."""

from __future__ import annotations

import argparse

from finehard.console.arguments import Parser
from finehard.console.messages import log_to_stderr

TEXT = "upload a published dataset to the Hugging Face Hub; the same command continues"


def add_arguments(command: Parser) -> None:
    """Adds the arguments of the command."""
    command.add_argument("repo", metavar="OWNER/NAME")
    command.add_argument("--data", required=True, metavar="DATASET", help="what finehard publish "
                         "wrote")  # fmt: skip
    command.add_argument("--public", action="store_true",
                         help="if the repository is created now, for everyone to see")  # fmt: skip
    command.add_argument("--squash-history", action="store_true", help="leave one commit only, so "
                         "that nothing removed is in an earlier one")  # fmt: skip


def run(chosen: argparse.Namespace) -> int:
    """Uploads, and prints what was uploaded and where it is."""
    from finehard.publish.push import push

    log_to_stderr()
    pushed = push(chosen.repo, chosen.data, chosen.public, chosen.squash_history)
    print(
        f"{pushed.committed:,} files committed, {pushed.there:,} were there, {pushed.deleted:,} "
        f"deleted: {pushed.url} ({'private' if pushed.private else 'public'})"
    )
    return 0
