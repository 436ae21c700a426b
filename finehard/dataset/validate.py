"""Checks a dataset against every rule of the data contract, and lists the violations.

Reads shards and tables itself and not through `open_dataset`, which trusts the index. A shard is a
task, so that processes, or the workers of a Beam runner, share them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from finehard.dataset.layout import (
    CARD,
    CROISSANT,
    INDEX,
    MANIFEST,
    SIZES,
    shard_name,
    shard_of,
)
from finehard.dataset.parts import TABLES, table_files, table_names, with_shard
from finehard.dataset.runs import Run, runs
from finehard.dataset.tables import INDEX_SCHEMA, REJECT_SCHEMA
from finehard.dataset.validate_regions import regions_problems
from finehard.dataset.validate_shard import Found, RegionRows, Task, check_shard
from finehard.errors import UsageError, error_line
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.io.processes import Each, Processes
from finehard.rejects import REASONS
from finehard.schemas import why_invalid

_SHARDS_EACH = 4
"""A process is started for so many shards, at least: its start takes as long as they do."""


def validate(dataset: str, workers: int = 1) -> list[str]:
    """The violations in `dataset`, one line each; empty if it is valid. Nothing is written.

    `workers` processes, at most, share the shards; memory of each holds one shard's keys and rows.
    Raises `UsageError` if there is no such folder.
    """
    shards = len(storage.glob(storage.join(storage.local(dataset), "shards"), ""))
    with Processes(min(workers, -(-shards // _SHARDS_EACH))) as each:
        return validate_with(dataset, each)


def validate_with(dataset: str, each: Each) -> list[str]:
    """As `validate`; `each` maps the checks of single files over what is to be checked."""
    dataset = storage.local(dataset)
    if not storage.is_dir(dataset):
        raise UsageError(f"dataset {dataset} does not exist")
    manifest = _json(storage.join(dataset, MANIFEST))
    if manifest is None:
        return [f"{MANIFEST} is missing or not JSON: the build did not finish, run it again"]
    wrong = why_invalid(manifest, "manifest")
    if wrong:
        return [f"{MANIFEST}: {wrong}"]
    problems = list(_files(dataset, manifest)) or list(_tables(dataset, manifest))
    if problems:
        return problems
    expected: dict[str, RegionRows] = {}
    problems = [*_counts(dataset, manifest), *_shards(dataset, manifest, expected, each)]
    regions = [] if problems else regions_problems(dataset, expected, each)
    return [*problems, *regions, *_rejects(dataset, manifest, each)]


def _json(uri: str) -> Any:
    try:
        return json.loads(storage.read_all(uri))
    except (OSError, ValueError, RecursionError):
        return None


def _files(dataset: str, manifest: dict[str, Any]) -> Iterator[str]:
    for name in (*(table_names(dataset, INDEX) or [INDEX]), SIZES, CARD, CROISSANT):
        if not storage.exists(storage.join(dataset, name)):
            yield f"{name} is missing"
    listed = {shard["name"]: shard for shard in manifest["shards"]}
    present = {f.uri.rsplit("/", 1)[1]: f.size for f in storage.glob(f"{dataset}/shards", "")}
    for name in sorted(present.keys() - listed.keys()):
        yield f"shards/{name} is not in the manifest"
    for name in sorted(listed.keys() - present.keys()):
        yield f"shards/{name} is missing"
    for name in sorted(listed.keys() & present.keys()):
        if present[name] != listed[name]["bytes"]:
            yield f"shards/{name} has {present[name]} bytes, not {listed[name]['bytes']}"


def _counts(dataset: str, manifest: dict[str, Any]) -> Iterator[str]:
    counts = manifest["counts"]
    if counts["read"] != counts["written"] + counts["rejected"]:
        yield (
            f"{counts['read']} read, but {counts['written']} written and {counts['rejected']} "
            "rejected"
        )
    shards = [shard["name"] for shard in manifest["shards"]]
    if shards != [f"{shard_name(i, len(shards))}.tar" for i in range(len(shards))]:
        yield f"{MANIFEST} does not list the shards 0 to {len(shards) - 1} in their order"
    total = sum(shard["samples"] for shard in manifest["shards"])
    if total != counts["written"]:
        yield f"the shards list {total} samples, the manifest counts {counts['written']}"
    sizes = {shard["name"]: shard["samples"] for shard in manifest["shards"]}
    if _json(storage.join(dataset, SIZES)) != sizes:
        yield f"{SIZES} does not agree with the manifest"


def _tables(dataset: str, manifest: dict[str, Any]) -> Iterator[str]:
    """Yields where the tables' files are not those that the manifest names."""
    for table in TABLES:
        there = table_names(dataset, table)
        listed = manifest.get("tables", {}).get(table.removesuffix(".parquet"), [])
        names = [part["name"] for part in listed] or [table]
        if there != names and (there or listed):
            yield f"{(there or ['no file'])[0]} is there, and {MANIFEST} names {names[0]}"
            continue
        for part in listed:
            uri = storage.join(dataset, part["name"])
            size = storage.size(uri) if storage.exists(uri) else 0
            if size != part["bytes"]:
                yield f"{part['name']} has {size} bytes, not {part['bytes']}"


def _shards(
    dataset: str, manifest: dict[str, Any], expected: dict[str, RegionRows], each: Each
) -> Iterator[str]:
    """Yields what is wrong with index and shards; fills `expected` with what the rows of each
    shard's regions should be."""
    shards = {shard["name"]: shard for shard in manifest["shards"]}
    index = _Index(dataset)
    known = [run for run in index.runs if run.shard in shards]
    listed = {run.shard for run in known}
    left = [name for name in shards if name not in listed] if not index.unreadable else []
    tasks = [
        *(Task(dataset, shards[run.shard], len(shards), index.name(run), run) for run in known),
        *(Task(dataset, shards[name], len(shards), INDEX, None) for name in left),
    ]
    found = each(check_shard, tasks)
    counted: Counter[str] = Counter()
    checked: set[str] = set()
    for run in [*index.runs, *(None for _ in left)]:
        if run is not None and run.shard not in shards:
            yield f"{index.name(run)} names shard {run.shard}, which the manifest does not"
            continue
        of_shard: Found = next(found)
        if run is not None:
            yield from index.misplaced(run, run.shard in checked)
            checked.add(run.shard)
        if of_shard.unreadable:
            yield f"{INDEX} cannot be read: {of_shard.unreadable}"
            return
        yield from of_shard.problems
        counted.update(regions=of_shard.regions, hard_negatives=of_shard.hard_negatives)
        if run is not None and of_shard.expected:
            expected[run.shard] = of_shard.expected
    if index.unreadable:
        yield f"{INDEX} cannot be read: {index.unreadable}"
        return
    for column in ("regions", "hard_negatives"):
        if counted[column] != (other := manifest["counts"][column]):
            yield f"{INDEX} counts {counted[column]} {column}, the manifest {other}"


class _Index:
    """The runs of all files of the index, up to where they cannot be read, and why they cannot."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._files = table_files(dataset, INDEX)
        self.runs: list[Run] = []
        self.unreadable = ""
        try:
            for uri in self._files:
                self.runs += runs(uri, INDEX_SCHEMA)
        except (pa.ArrowException, OSError, ValueError) as error:
            self.unreadable = error_line(error, 160)

    def name(self, run: Run) -> str:
        """The name of the file that `run` is in."""
        return run.uri[len(self._dataset) :].lstrip("/")

    def misplaced(self, run: Run, again: bool) -> Iterator[str]:
        """Yields what is wrong with the place of `run`; `again` if its shard has another before
        it."""
        if again:
            yield f"{self.name(run)}: the rows of {run.shard} do not stand together"
        elif run.uri not in with_shard(self._files, run.shard):
            yield f"{self.name(run)}: the rows of {run.shard} belong to another part"


class _Rejects(NamedTuple):
    """What was found of a file of rejects: violations, rows, and their reasons."""

    problems: list[str]
    rows: int = 0
    reasons: Counter[str] = Counter()


def _rejects(dataset: str, manifest: dict[str, Any], each: Each) -> Iterator[str]:
    known = {*REASONS, *manifest.get("reject_reasons", ())}
    total, reasons = 0, Counter(dict.fromkeys(manifest["rejects"], 0))
    numbers = {shard["name"]: number for number, shard in enumerate(manifest["shards"])}
    uris = [file.uri for file in storage.glob(storage.join(dataset, "rejected"), "")]
    tasks = [(uri, numbers.get(_shard_of_rejects(uri)), len(numbers), known) for uri in uris]
    for found in each(_check_rejects, tasks):
        yield from found.problems
        total += found.rows
        reasons.update(found.reasons)
    if total != manifest["counts"]["rejected"]:
        yield f"rejected/ holds {total} rows, the manifest counts {manifest['counts']['rejected']}"
    if dict(reasons) != manifest["rejects"]:
        yield "rejected/ has other reasons than the manifest counts"


def _shard_of_rejects(uri: str) -> str:
    return uri.rsplit("/", 1)[1].removesuffix(".parquet") + ".tar"


def _check_rejects(task: tuple[str, int | None, int, set[str]]) -> _Rejects:
    """Checks a file of rejects; `task` is its URI, the number of its shard, how many there are, and
    the reasons that may occur."""
    uri, number, shards, known = task
    name = "rejected/" + uri.rsplit("/", 1)[1]
    try:
        with storage.open_read(uri) as opened:
            table = read_table(opened)
    except (pa.ArrowException, OSError, ValueError) as error:
        return _Rejects([f"{name} cannot be read: {error_line(error, 160)}"])
    if table.schema.names != REJECT_SCHEMA.names:
        return _Rejects([f"{name} has other columns than {', '.join(REJECT_SCHEMA.names)}"])
    problems = []
    keys = table.column("key").to_pylist()
    if len(set(keys)) != len(keys):
        problems.append(f"{name}: a key occurs twice")
    if number is None:
        problems.append(f"{name} belongs to no shard of the manifest")
    elif any(shard_of(str(key), shards) != number for key in keys):
        problems.append(f"{name}: a key belongs to another shard")
    reasons = list(map(str, table.column("reason").to_pylist()))
    problems += [f"{name}: unknown reason {r!r}" for r in reasons if r not in known]
    return _Rejects(problems, len(table), Counter(reasons))
