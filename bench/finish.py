"""Completing a dataset of many shards: time, peak memory and files, in one step and in parts.

The shards are synthetic: what each left in side files is real and small, and linked, not copied;
its counts and examples are those of a build in which every rule drops something of every shard. In
parts, processes merge the parts and another one completes the dataset, as the workers of a runner
do; `Beam` is the step itself on the runner in this process. Of more than 20,000 shards only the
first part is merged, and the others are links to it: the time is that of one part. Memory is each
process's own peak.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam

from bench.care import STAGES, item
from bench.measure import verdict
from finehard.beam import run
from finehard.beam.finish import FinishDataset
from finehard.dataset.complete import Origin, complete, finish
from finehard.dataset.layout import shard_name
from finehard.dataset.merge import PartSummary, merge_part
from finehard.dataset.parts import SHARDS_PER_PART, TABLES, part_count, part_name, part_of
from finehard.dataset.regions import RegionWriter, region_rows, regions_part
from finehard.dataset.summary import EXAMPLES, ShardSummary
from finehard.dataset.tables import INDEX_SCHEMA, described, index_part, write_table
from finehard.io import storage
from finehard.records import Bytes
from finehard.stages.provenance import Provenance

GOAL_KB = 1.0
_RULES, _STAGES = 40, 10
_LINKS = 30_000
"""Links to a file, at most; file systems have a limit."""
_MERGED = 20_000
"""Shards that are all merged, at most."""
_ORIGIN = Origin("in", {"images": {}}, Provenance(STAGES, ()))
_RUN = "run"


class Measured(NamedTuple):
    """What a process returned, its seconds of CPU and its peak memory in MB."""

    result: Any
    cpu: float
    megabytes: float


def summary(samples: int, index: int, shards: int) -> ShardSummary:
    """Returns the counts of a shard in which every rule dropped something."""
    rules = {f"negatives.rule_{rule}": 7 for rule in range(_RULES)}
    key = f"{index:012d}"
    return ShardSummary(
        index, shard_name(index, shards), samples, 9, samples * 100_000, f"{index:064x}", 0,
        samples * 4, samples * 40, Counter({f"reason_{n}": 1 for n in range(9)}), Counter(rules),
        {rule: [(key, f"a cup, number {key}, {n}") for n in range(EXAMPLES)] for rule in rules},
        {f"stage_{n}": [samples, samples * 900, samples * 200] for n in range(_STAGES)},
    )  # fmt: skip


def make(output: str, shards: int, samples: int, made: int) -> None:
    """Leaves what the writers of the first `made` shards leave for the tables."""
    for start in range(0, made, _LINKS):
        name = shard_name(start, shards)
        rows, parts = [], (index_part(output, _RUN, name), regions_part(output, _RUN, name))
        with storage.writing(parts[1], False) as file, RegionWriter(file) as regions:
            for number in range(samples):
                key = f"{number:09d}"
                sample = item(Bytes("in.tar", 0, 1), key, "0" * 64)["sample"]
                place = {f"{m}_{n}": 0 for m in ("image", "json") for n in ("offset", "size")}
                rows.append({"key": key, "shard": f"{name}.tar", **place, **described(sample)})
                regions.add(region_rows(key, f"{name}.tar", sample))
        write_table(parts[0], rows, INDEX_SCHEMA)
        for index in range(start + 1, min(start + _LINKS, made)):
            other = shard_name(index, shards)
            os.link(parts[0], index_part(output, _RUN, other))
            os.link(parts[1], regions_part(output, _RUN, other))


def one_step(output: str, shards: int, samples: int) -> None:
    """All summaries in one process, which merges all rows."""
    summaries = [summary(samples, index, shards) for index in range(shards)]
    complete(output, _RUN, _ORIGIN, summaries, shards * (samples + 9), most=shards)


def merged(output: str, shards: int, samples: int, part: int) -> PartSummary:
    """What a worker does that has a part."""
    summaries = of_shards(shards, samples, part)
    return merge_part(output, _RUN, part, part_count(shards), summaries)


def of_shards(shards: int, samples: int, part: int) -> list[ShardSummary]:
    """Returns the summaries of the shards of a part."""
    parts = part_count(shards)
    numbers = [n for n in range(shards) if part_of(n, shards, parts) == part]
    return [summary(samples, n, shards) for n in numbers]


def _like(first: PartSummary, part: int, shards: int) -> PartSummary:
    """Returns the summary of another part than the first, with the same counts."""
    start, number = part * len(first.shards), len(first.shards)
    listed = [
        {**shard, "name": f"{shard_name(start + n, shards)}.tar", "sha256": f"{start + n:064x}"}
        for n, shard in zip(range(number), first.shards, strict=True)
    ]
    return replace(first, part=part, shards=listed)


def last_step(output: str, shards: int, samples: int, summaries: str) -> None:
    """What completes the dataset."""
    with open(summaries, "rb") as file:
        parts = [pickle.load(file) for _ in range(part_count(shards))]
    finish(output, _ORIGIN, parts, shards * (samples + 9))


def on_beam(output: str, shards: int, samples: int, most: int) -> None:
    """The step of a build, on the runner in this process."""

    def construct(pipeline: beam.Pipeline) -> Any:
        made = pipeline | beam.Create(range(shards)) | beam.Map(partial(_summary, samples, shards))
        read = shards * (samples + 9)
        return made | FinishDataset(output, _RUN, shards, _ORIGIN, read, most=most)

    run.run(construct, run.options([]))


def _summary(samples: int, shards: int, index: int) -> ShardSummary:
    return summary(samples, index, shards)


def _measured(function: Callable[[], Any]) -> Measured:
    began = time.process_time()
    result = function()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(result, time.process_time() - began, peak)


def _alone(function: Callable[..., Any], *arguments: Any) -> Measured:
    """Calls `function` in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (partial(function, *arguments),))


def _row(shards: int, how: str, step: str, done: Measured, output: str = "") -> None:
    files = [p for n in ("index*", "regions*") for p in Path(output).glob(n)] if output else []
    tables = [p for f in files for p in ([f] if f.is_file() else f.iterdir())]
    size = sum(p.stat().st_size for p in tables)
    told = f"{len(tables):6} {size / 1e6:9.1f}" if output else ""
    print(f"{shards:9,} {how:9} {step:12} {done.cpu:9.1f} {done.megabytes:9,.0f} {told}",
          flush=True)  # fmt: skip
    for path in files:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def measure(folder: Path, shards: int, samples: int, workers: int) -> float:
    """Prints the rows of one number of shards; returns the last step's peak memory in MB."""
    output, parts = str(folder / f"{shards}"), part_count(shards)
    given = (output, shards, samples)
    every = shards <= _MERGED
    make(*given, shards if every else -(-shards // parts))
    if every:
        _row(shards, "one step", "all", _alone(one_step, *given), output)
        _row(shards, "Beam", "one part", _alone(on_beam, *given, shards), output)
        _row(shards, "Beam", "parts", _alone(on_beam, *given, SHARDS_PER_PART), output)
    tasks = [partial(merged, *given, part) for part in range(parts if every else 1)]
    with get_context("spawn").Pool(workers) as pool:
        done = pool.map(_measured, tasks, chunksize=1)
    taken, most = sum(each.cpu for each in done), max(each.megabytes for each in done)
    _row(shards, "parts", "merge" if every else "merge one", Measured(None, taken, most))
    for table in TABLES if not every else ():
        for part in range(1, parts):
            first, other = (storage.join(output, part_name(table, n, parts)) for n in (0, part))
            os.link(first, other)
    summaries = f"{output}.pickle"
    with open(summaries, "wb") as file:
        for part in range(parts):
            pickle.dump(done[part].result if every else _like(done[0].result, part, shards), file)
    last = _alone(last_step, *given, summaries)
    _row(shards, "parts", "last step", last, output)
    shutil.rmtree(output)
    return last.megabytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[1_000, 12_000, 200_000])
    parser.add_argument("--samples", type=int, default=5, help="of a shard (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    print(f"{'shards':>9} {'how':9} {'step':12} {'CPU s':>9} {'peak MB':>9} {'tables':>6} "
          f"{'MB':>9}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for shards in args.shards:
            peak = measure(Path(folder), shards, args.samples, args.workers)
    grown = 1000 * (peak - _alone(int).megabytes) / shards
    return 0 if verdict("LAST_STEP_KB_A_SHARD", grown, GOAL_KB, False, " KB") else 1


if __name__ == "__main__":
    sys.exit(main())
