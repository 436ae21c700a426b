"""What the pipeline tests share: a simulated server, inputs, builds in processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.inputs import write_tars

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT.parent / "shared" / "photos"


class Server:
    """A simulated model server in a process of its own, with a log of what it answered."""

    def __init__(self, log: Path, broken: bool = False) -> None:
        self.log = log
        command = [sys.executable, "-m", "bench.simulated_server", "--log", str(log),
                   "--least-s", "0.01", "--most-s", "0.05"]  # fmt: skip
        command += ["--broken"] if broken else []
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def answered(self) -> list[tuple[float, str, str]]:
        """Time, stage and question of each answer."""
        if not self.log.exists():
            return []
        lines = (line.split() for line in self.log.read_text().splitlines())
        return [(float(at), stage, question) for at, stage, question in lines]

    def close(self) -> None:
        """Ends the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def config(folder: Path, url: str, **sections: Any) -> Path:
    """A config against the server at `url`; `sections` replace or add."""
    model = {"model": "simulated", "endpoints": [url], "window": 16}
    values: dict[str, Any] = {
        "models": {"lmm": model, "llm": model},
        "detect": {"backend": "bench.fixed_detector:load"},
        "source": {"unit_size": 8},
        "shards": {"samples_per_shard": 10},
        **sections,
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(values))
    return path


def images(folder: Path, count: int) -> Path:
    """A folder with a tar of `count` small images."""
    write_tars(folder, count, 96, 64)
    return folder


def start(
    settings: Path, source: Path, output: Path, *beam: str, options: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Starts `finehard build`."""
    command = [sys.executable, "-m", "finehard.cli", "build", "--config", str(settings),
               "--input", str(source), "--output", str(output), *options]  # fmt: skip
    if beam:
        command += ["--", *beam]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    )  # fmt: skip


def build(
    settings: Path, source: Path, output: Path, *beam: str, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs `finehard build` to its end."""
    process = start(settings, source, output, *beam, options=options)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def built(settings: Path, source: Path, output: Path, *beam: str) -> dict[str, str]:
    """As `build`, which must succeed; the SHA-256 of every shard and reject file by name."""
    done = build(settings, source, output, *beam)
    assert done.returncode == 0, done.stdout + done.stderr
    return sums(output)


def sums(output: Path) -> dict[str, str]:
    """The SHA-256 of every shard and reject file of a dataset."""
    files = [*output.glob("shards/*"), *output.glob("rejected/*")]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def manifest(output: Path) -> dict[str, Any]:
    """The dataset's manifest."""
    return json.loads((output / "manifest.json").read_text())
