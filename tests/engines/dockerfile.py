"""Reads a Dockerfile and the .dockerignore beside it, as far as this project's use them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import NamedTuple


class Instruction(NamedTuple):
    """An instruction, its continued lines joined."""

    name: str
    words: str


def instructions(text: str) -> list[Instruction]:
    """Returns the instructions of a Dockerfile in their order."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    joined = "\n".join(lines).replace("\\\n", "")
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def copied(context: Path, sources: Sequence[str] = (".",)) -> list[str]:
    """Returns the files that COPY takes from `context`, of those that git tracks there."""
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=context, text=True)
    patterns = (context / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [pattern for pattern in patterns if pattern and not pattern.startswith("#")]
    return [
        file
        for file in tracked.split("\0")
        if (context / file).is_file() and not _ignored(file, patterns)
        if any(source == "." or PurePath(file).is_relative_to(source) for source in sources)
    ]


def _ignored(file: str, patterns: list[str]) -> bool:
    """The last pattern that matches the file, or a folder that it is in, decides."""
    paths = [file, *map(str, PurePath(file).parents)]
    result = False
    for pattern in patterns:
        if any(fnmatch(path, pattern.removeprefix("!")) for path in paths):
            result = not pattern.startswith("!")
    return result
