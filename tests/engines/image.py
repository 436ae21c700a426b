"""Carries out a Dockerfile without docker; the file system of this machine stands for its base.

What is written goes to a folder. Each command runs in namespaces of its own with an overlay over
`/`, so that neither mounts nor processes outlive it, or this process.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from tests.engines.dockerfile import copied, instructions

_NAMESPACES = (
    "setpriv",
    "--pdeathsig=KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
)
_ENTER = """
folder=$1 cwd=$2; shift 2; root=$folder/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --bind "$folder/tmp" "$root/tmp"
exec chroot "$root" env --chdir="$cwd" nice -n 10 "$@"
"""
_OF_THIS_MACHINE = ("PYTHON", "VIRTUAL_ENV", "HF_", "TMPDIR")
"""Beginnings of variables that a command in the image does not get; those of proxies, certificates
and package indexes it does."""


class Image:
    """A file system under construction, below `folder`; `env` is what its base sets."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.env = dict(env)
        self.cwd = "/"
        self.entrypoint: list[str] = []
        for name in ("upper", "work", "root", "tmp"):
            (folder / name).mkdir()

    def run(self, *command: str, env: Mapping[str, str] | None = None, **options: Any) -> str:
        """Runs a command in the image; returns its standard output.

        Raises `RuntimeError`, with the end of all that it printed, unless it ended with 0.
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OF_THIS_MACHINE)}
        done = subprocess.run(
            [*_NAMESPACES, "sh", "-euc", _ENTER, "sh", str(self.folder), self.cwd, *command],
            env={**inherited, **self.env, **(env or {})},
            capture_output=True,
            **options,
        )
        out, error = done.stdout.decode(), done.stderr.decode()
        if done.returncode != 0:
            told = (out + error)[-3000:]
            raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}:\n{told}")
        return out

    def gigabytes(self, path: str) -> float:
        """Returns what a folder of the image takes on the disk, in 10^9 bytes."""
        told = subprocess.check_output(["du", "-s", "-B1", f"{self.folder}/upper{path}"], text=True)
        return int(told.split()[0]) / 1e9


def build(image: Image, dockerfile: str, context: Path, arguments: Mapping[str, str]) -> list[str]:
    """Carries out a Dockerfile with the files that git tracks in `context` and the build arguments.

    Returns the instructions that were left out: those that copy from other images. Raises
    `ValueError` for an instruction that is not known, `RuntimeError` for a command that fails.
    """
    left_out = []
    values: dict[str, str] = {}
    for name, words in instructions(dockerfile):
        began = time.monotonic()
        filled = Template(words).safe_substitute({**values, **image.env})
        if name == "ARG":
            key, _, default = filled.partition("=")
            values[key] = arguments.get(key, default)
        elif name == "ENV":
            image.env.update(word.split("=", 1) for word in shlex.split(filled))
        elif name == "WORKDIR":
            image.run("mkdir", "-p", filled)
            image.cwd = filled
        elif name == "COPY" and filled.startswith("--from="):
            left_out.append(f"{name} {words}")
        elif name == "COPY":
            _copy(image, context, *shlex.split(filled))
        elif name == "RUN":
            image.run("/bin/sh", "-c", words, env=values)
        elif name == "ENTRYPOINT":
            image.entrypoint = json.loads(filled)
        elif name != "FROM":
            raise ValueError(f"this reader does not know {name}")
        print(f"{time.monotonic() - began:7.1f} s  {name} {words}", flush=True)
    return left_out


def _copy(image: Image, context: Path, *words: str) -> None:
    *sources, target = words
    packed = subprocess.run(
        ["tar", "--create", "--null", "--files-from=-"],
        cwd=context, input="\0".join(copied(context, sources)).encode(),
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    image.run("tar", "--extract", "--no-same-owner", "-C", target, input=packed.stdout)
