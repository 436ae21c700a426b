"""The counts of each worker process, in a small file that it rewrites every second.

The process that started the build adds them up to show progress, whatever the runner.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import threading
from collections.abc import Iterable
from typing import Any

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.lmm.client import Client

_EVERY_S = {False: 1.0, True: 10.0}
"""Seconds between writes, local and remote."""


def folder(output: str, run: str) -> str:
    """Returns the folder for the status files of `run`."""
    return storage.join(output, storage.JOURNAL, "_status", run)


class Status:
    """This process's counts in this run, written to a file of its own."""

    def __init__(self, output: str, run: str) -> None:
        self.read = 0
        self.done = 0
        self.rejected = 0
        self.through = 0
        """Of those done, how many a run before had brought through all stages."""
        self.fatal: str | None = None
        self.stages: dict[str, dict[str, int]] = {}
        self._clients: list[Client] = []
        self._uri = storage.join(
            folder(output, run), f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}.json"
        )
        self._every = _EVERY_S[storage.is_remote(output)]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="finehard-status", daemon=True)
        self._thread.start()

    def watch(self, client: Client) -> None:
        """Includes the requests of `client`."""
        self._clients.append(client)

    def count_done(self, stage: str, from_journal: bool = False) -> None:
        """Counts a sample as done at `stage`."""
        counts = self.stages.setdefault(stage, {"done": 0, "from_journal": 0})
        counts["done"] += 1
        counts["from_journal"] += from_journal

    def count_through(self, stages: Iterable[str], samples: int, rejects: int) -> None:
        """Counts what a run before had brought through all `stages`."""
        self.read += samples + rejects
        self.done += samples + rejects
        self.through += samples + rejects
        self.rejected += rejects
        for stage in stages:
            self.stages.setdefault(stage, {"done": 0, "from_journal": 0})["done"] += samples

    def write(self) -> None:
        """Writes the file now."""
        stages: dict[str, Any] = {name: dict(counts) for name, counts in self.stages.items()}
        for client in list(self._clients):
            for stage, tally in list(client.tally.items()):
                stages.setdefault(stage, {}).update(dataclasses.asdict(tally))
        counts = {
            "read": self.read,
            "done": self.done,
            "rejected": self.rejected,
            "through": self.through,
            "fatal": self.fatal,
            "stages": stages,
        }
        with (
            contextlib.suppress(OSError, FinehardError),  # a build does not stop for its progress
            storage.writing(self._uri, durable=False) as file,
        ):
            file.write(json.dumps(counts).encode())

    def close(self) -> None:
        """Ends the thread and writes the final counts."""
        self._closed.set()
        self._thread.join()
        self.write()

    def _run(self) -> None:
        while not self._closed.wait(self._every):
            self.write()


def total(output: str, run: str) -> dict[str, Any]:
    """Returns the sum over all processes of `run`, in the form of their files."""
    summed: dict[str, Any] = {"read": 0, "done": 0, "rejected": 0, "through": 0}
    summed |= {"fatal": None, "stages": {}}
    for file in storage.glob(folder(output, run), ""):
        try:
            counts = json.loads(storage.read_all(file.uri))
        except (OSError, ValueError, FinehardError):
            continue  # a build does not stop for its progress
        for name in ("read", "done", "rejected", "through"):
            summed[name] += counts[name]
        summed["fatal"] = summed["fatal"] or counts["fatal"]
        for stage, values in counts["stages"].items():
            into = summed["stages"].setdefault(stage, {})
            for name, value in values.items():
                into[name] = into.get(name, 0) + value
    return summed
