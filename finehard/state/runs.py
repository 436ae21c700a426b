"""The runs of a build: their names, how long each took, and what its stages asked."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from finehard.io import storage

_FOLDER = "_runs"
"""Folder in the journal with a file for each run."""


def new_run() -> str:
    """Returns a name for a run that begins now; names sort by time."""
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(3).hex()}"


def record_run(output: str, run: str, seconds: float, stages: dict[str, Any]) -> None:
    """Records that `run` took `seconds`, with the counts of its stages, for later reports."""
    text = json.dumps({"run": run, "seconds": round(seconds, 1), "stages": stages})
    storage.write(storage.join(output, storage.JOURNAL, _FOLDER, f"{run}.json"), text.encode())


def recorded_runs(output: str) -> list[dict[str, Any]]:
    """Returns the recorded runs, oldest first, each with `seconds`; damaged ones are skipped."""
    runs = []
    for file in storage.glob(storage.join(output, storage.JOURNAL, _FOLDER), ""):
        try:
            runs.append(json.loads(storage.read_all(file.uri)))
        except (OSError, ValueError):
            continue
    return [run for run in runs if isinstance(run, dict) and "seconds" in run]
