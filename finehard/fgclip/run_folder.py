"""The folder of a training run: local, or the local copy of one in an object store."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from finehard.digest import digest
from finehard.errors import UsageError
from finehard.fgclip import distributed
from finehard.io import storage

_CHECKPOINT = re.compile(r"checkpoints/(step-\d+)/(.+)")
CONFIG = "config.yaml"
"""The run's config, all defaults included."""
_LAST = "trainer.pt"
"""Uploaded last, so that a checkpoint in the store is complete where it has this file."""


def model_of(name: str) -> str:
    """Returns `name`, a model's folder or hub name, or where it is a run's folder, that run's
    model. Raises `UsageError` if the run has none yet."""
    run = Path(name)
    if (run / "config.json").is_file() or not (run / CONFIG).is_file():
        return name
    if not (run / "model" / "config.json").is_file():
        raise UsageError(
            f"--model {name}: its run is not finished: resume it, or give a checkpoint"
        )
    return str(run / "model")


class RunFolder:
    """A run's files in `path`, which `push` copies to the store where `output` is a URI.

    A run in the store is resumed from its latest complete checkpoint: every machine downloads it.
    """

    def __init__(self, output: str) -> None:
        self._uri = storage.local(output) if storage.is_remote(output) else None
        if self._uri is None:
            self.path = Path(storage.local(output))
            return
        name = f"finehard-run-{os.getuid()}-{digest(self._uri, 8)}"
        self.path = Path(tempfile.gettempdir(), name)
        if distributed.local_rank() == 0:
            self._pull(self._uri)
        distributed.wait_for_all(distributed.patient_group())

    def _pull(self, uri: str) -> None:
        """Makes the local copy what the store has, without incomplete checkpoints."""
        names = [file.uri[len(uri) + 1 :] for file in storage.walk(uri)]
        complete = {m[1] for n in names if (m := _CHECKPOINT.fullmatch(n)) and m[2] == _LAST}
        storage.delete_tree(str(self.path))
        for name in names:
            match = _CHECKPOINT.fullmatch(name)
            if match is None or match[1] in complete:
                storage.write(str(self.path / name), storage.read_all(storage.join(uri, name)))

    def push(self) -> None:
        """Copies what is new or has changed to the store, and removes what is gone there."""
        if self._uri is None:
            return
        paths = [p for p in self.path.rglob("*") if p.is_file() and ".tmp" not in str(p)]
        names = {str(p.relative_to(self.path)): p for p in paths}
        stored = {f.uri[len(self._uri) + 1 :]: f.size for f in storage.walk(self._uri)}
        gone = sorted(stored.keys() - names.keys(), key=lambda n: not n.endswith(_LAST))
        storage.delete([storage.join(self._uri, name) for name in gone])
        for name in sorted(names, key=lambda n: n.endswith(_LAST)):
            in_checkpoint = _CHECKPOINT.fullmatch(name) is not None  # these never change
            if not in_checkpoint or stored.get(name) != names[name].stat().st_size:
                storage.write(storage.join(self._uri, name), names[name].read_bytes())
