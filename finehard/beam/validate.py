"""Validates a dataset with a Beam pipeline: each check of a file is a task, on any runner.

Tasks and what they found pass through files in the dataset's journal folder, deleted afterwards.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from finehard.beam.curate import run_each
from finehard.beam.run import options, storage_options
from finehard.dataset.layout import JOURNAL
from finehard.dataset.reader import open_dataset
from finehard.dataset.validate import validate_with
from finehard.io import storage
from finehard.state.runs import new_run

_FOLDER = "_validated"
_BATCHES = 1000
"""Batches of tasks, about, at most: a runner's description of a job has a limit."""


def validate_on_runner(dataset: str, beam: Sequence[str]) -> list[str]:
    """As `validate`, on the runner that the options `beam` name. Raises `UsageError` for a wrong
    option, `FinehardError` where the job fails or the folder cannot be written."""
    parsed = options(list(beam))
    stores = storage.configure(storage_options(parsed))
    uri = open_dataset(dataset).uri
    folder = storage.join(uri, JOURNAL, _FOLDER)
    there = storage.is_remote(uri) or os.path.isdir(os.path.dirname(folder))
    try:
        return validate_with(uri, partial(_each, folder, parsed, stores))
    finally:
        storage.delete_tree(folder)
        if not there:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(folder))


def _each(
    folder: str,
    parsed: PipelineOptions,
    stores: Mapping[str, Any],
    function: Callable[[Any], Any],
    items: Iterable[Any],
) -> Iterator[Any]:
    """Maps as `map` does, by a pipeline of its own."""
    tasks = list(items)
    size = -(-len(tasks) // _BATCHES) or 1
    rest = iter(tasks)
    batches: list[str] = []
    while batch := list(islice(rest, size)):
        batches.append(storage.join(folder, new_run(), f"{len(batches):05d}"))
        storage.write(batches[-1], pickle.dumps((function, batch)))
    run_each(function.__name__.strip("_"), partial(_batch, stores), batches, parsed)
    for uri in batches:
        yield from pickle.loads(storage.read_all(_done(uri)))


def _batch(stores: storage.Options, uri: str) -> None:
    """Does the tasks in the file `uri`, and leaves what they return beside it."""
    storage.configure(stores)
    function, batch = pickle.loads(storage.read_all(uri))
    storage.write(_done(uri), pickle.dumps(list(map(function, batch))))


def _done(uri: str) -> str:
    return uri + ".done"
