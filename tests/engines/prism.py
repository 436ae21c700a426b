"""Prism, Beam's runner in Go, found on this machine, and run as a service."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apache_beam.version import __version__ as beam_version

from finehard.serve.replica import free_port
from tests.pipelines.services import POOL, PYTHON, options, running
from tests.pipelines.world import ROOT

CACHE = Path("~/.apache_beam/cache/prism/bin").expanduser()


def prism(folder: Path) -> str:
    """The program: `$PRISM`, what Beam downloaded before, `prism` on PATH, or unpacked into
    `folder` from the zip beside the checkout. Skips the test if there is none."""
    downloaded = sorted(CACHE.glob(f"apache_beam-v{beam_version}-prism-*[!p]"))
    for found in (os.environ.get("PRISM"), *downloaded, shutil.which("prism")):
        if found:
            return str(found)
    packed = ROOT.parent / "shared" / "engines" / f"prism-{beam_version}-linux-amd64.zip"
    if not packed.exists():
        pytest.skip(f"no Prism: not in $PRISM, {CACHE}, PATH, nor ../shared beside the checkout")
    with zipfile.ZipFile(packed) as archive:
        program = archive.extract("prism", folder)
    os.chmod(program, 0o755)
    return program


@contextmanager
def service(program: str, python: Path = PYTHON) -> Iterator[tuple[list[str], int]]:
    """Prism and a pool of workers, which find `python`'s folder first on their PATH: the options
    for them, and the pool's process id."""
    job, pool = free_port(), free_port()
    with (
        running(program, "-job_port", str(job), "-serve_http=false"),
        running(*POOL, "--service_port", str(pool), python=python) as process,
    ):
        yield options(job, pool), process.pid
