"""Removes samples from a finished dataset: only the shards that hold them are written again.

What is to be done is saved in `_journal/_removing.json` before the manifest is deleted; from there
a removal that was killed goes on, as each step may be repeated.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from finehard.dataset.complete import describe, write_sizes
from finehard.dataset.layout import (
    DROPPED,
    INDEX,
    JOURNAL,
    MANIFEST,
    REGIONS,
    REMOVING,
    REPORT,
    split_key,
)
from finehard.dataset.parts import listed_tables, table_files, with_shard
from finehard.dataset.reader import LOCATION, Dataset, dropped_examples, open_dataset
from finehard.dataset.removals import (
    Entry,
    Removals,
    below,
    read_list,
    record,
    recorded,
    reject_row,
)
from finehard.dataset.tables import INDEX_SCHEMA, REJECT_SCHEMA, write_table
from finehard.dataset.writer import Hashed
from finehard.errors import FinehardError
from finehard.images import MEMBERS
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.io.parquet import read_table
from finehard.publish.citation import CITATION, citation
from finehard.publish.figures import card_figures
from finehard.rejects import REMOVED
from finehard.report import report
from finehard.sources.tar import BLOCK, Damage, members
from finehard.state.finished import finished_with, save_finished
from finehard.state.lock import locked

_FOUND = (*LOCATION, "regions", "hard_negatives", "sha256", "source")


class Removed(NamedTuple):
    """What a removal did: samples removed by the kind of entry that named them, shards written
    again, and the values of the list that name no sample."""

    samples: Counter[str]
    shards: int
    unmatched: list[str]


def remove(dataset: str, removal_list: str) -> Removed:
    """Removes from `dataset` the samples that the list in the file `removal_list` names.

    They become rejects, `removed_on_request`, and are gone from shards, index, regions and report;
    other samples keep their bytes. The entries are recorded, so that no later build of the same
    output brings them back. A removal that was killed is completed first. Raises `UsageError` for
    a list that cannot be read and a dataset that is not finished, `FinehardError` where a shard is
    damaged or a build is running.
    """
    entries = read_list(removal_list)
    opened = open_dataset(dataset)
    uri = opened.uri
    interrupted = storage.exists(storage.join(uri, JOURNAL, REMOVING))
    if not interrupted:
        _ = opened.manifest  # tells of a dataset that is not finished
    with locked(uri):
        if interrupted:
            _write(uri, json.loads(storage.read_all(storage.join(uri, JOURNAL, REMOVING))))
        removed = _remove(open_dataset(uri), entries)
        if not storage.exists(storage.join(uri, REPORT)):
            report(uri)
        return removed


def _remove(dataset: Dataset, entries: list[Entry]) -> Removed:
    found = list(_find(dataset, entries))
    values = {each.value for _, each in found}
    source = dataset.manifest["input"]
    named = [Entry("source", below(row["source"], source)) for row, _ in found]
    # a key may be another sample's once files are added; a source stays
    lasting = [each for each in entries if each.kind != "key" or each.value not in values]
    before = recorded(dataset.uri)
    removals = {*before, *lasting, *named}
    if removals != set(before):
        record(dataset.uri, removals)
    shards = {row["shard"] for row, _ in found}
    if found:
        plan = {
            "manifest": dataset.manifest,
            "finished": finished_with(dataset.uri),
            "removals": Removals(removals).digest(),
            "samples": [row for row, _ in found],
        }
        data = json.dumps(plan, ensure_ascii=False).encode("utf-8", "replace")
        storage.write(storage.join(dataset.uri, JOURNAL, REMOVING), data)
        _write(dataset.uri, plan)
    unmatched = sorted({each.value for each in entries} - values)
    return Removed(Counter(each.kind for _, each in found), len(shards), unmatched)


def _find(dataset: Dataset, entries: list[Entry]) -> Iterator[tuple[dict[str, Any], Entry]]:
    """Yields the samples that `entries` name, each with the entry. Only for entries by URL are all
    annotations read: the index has no URLs."""
    removals = Removals(entries)
    source = dataset.manifest["input"]
    by_url = any(each.kind == "url" for each in entries)
    for batch in dataset.rows(list(_FOUND), 4096):
        rows = batch.to_pylist()
        urls: Iterable[str | None] = [None] * len(rows)
        if by_url:
            samples = dataset.read_ahead(map(dataset.sample_at, rows))
            urls = (sample.json["image"]["url"] for sample in samples)
        for row, url in zip(rows, urls, strict=True):
            each = removals.match(url=url, key=row["key"], sha256=row["sha256"],
                                  source=below(row["source"], source))  # fmt: skip
            if each:
                yield row, each


def _write(uri: str, plan: dict[str, Any]) -> None:
    """Writes all that changes but the report; the manifest comes last."""
    storage.delete([storage.join(uri, name) for name in (MANIFEST, REPORT)])
    gone: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in plan["samples"]:
        gone[row["shard"]].append(row)
    written = dict(zip(gone, ordered_map(lambda s: _write_shard(uri, s, gone[s]), gone),
                       strict=True))  # fmt: skip
    for path, of_part in _by_file(uri, INDEX, gone):
        _write_index(path, of_part, written)
    for path, of_part in _by_file(uri, REGIONS, gone):
        _write_regions(path, of_part)
    manifest = _manifest(plan, written)
    if "tables" in manifest:
        manifest["tables"] = listed_tables(uri)
    write_sizes(uri, manifest["shards"])
    keys = {row["key"] for row in plan["samples"]}
    if examples := dropped_examples(uri):
        left = {rule: [e for e in of if e[0] not in keys] for rule, of in examples.items()}
        storage.write(storage.join(uri, JOURNAL, DROPPED), json.dumps(left).encode())
    describe(uri, manifest)
    if "published" in manifest:
        describe(uri, manifest, card_figures(open_dataset(uri), uri))
        storage.write(storage.join(uri, CITATION), citation(manifest))
    if plan["finished"]:
        settings, source = plan["finished"]
        save_finished(uri, settings, source, plan["removals"])
    storage.delete([storage.join(uri, JOURNAL, REMOVING)])


class _Shard(NamedTuple):
    """A shard that was written again, and where the images and JSONs in it are, in its order."""

    listed: dict[str, Any]
    places: dict[str, NDArray[np.int64]]


def _write_shard(uri: str, name: str, gone: list[dict[str, Any]]) -> _Shard:
    """Writes a shard without the samples `gone`, which may be missing already, and its rejects."""
    path = storage.join(uri, "shards", name)
    keys = {row["key"] for row in gone}
    places: dict[str, list[int]] = {"image": [], "json": []}
    with storage.open_read(path) as old, storage.writing(path) as file:
        new = Hashed(file)
        for sample in _samples(old, path):
            if sample.key in keys:
                continue
            for member, offsets in places.items():
                offsets.append(sample.places[member] - sample.start + new.written)
            _copy(old, sample.start, sample.stop, new)
        new.end_tar()
    _write_rejects(storage.join(uri, "rejected", name.removesuffix(".tar") + ".parquet"), gone)
    listed = {"name": name, "samples": len(places["json"]), "bytes": new.written,
              "sha256": new.sha256.hexdigest()}  # fmt: skip
    return _Shard(listed, {m: np.array(offsets, np.int64) for m, offsets in places.items()})


class _Sample(NamedTuple):
    """A sample's stretch of a tar, in bytes, and where the data of its members are."""

    key: str
    start: int
    stop: int
    places: dict[str, int]


def _samples(file: BinaryIO, path: str) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for member in members(file, 0, storage.size(path)):
        if isinstance(member, Damage):
            raise FinehardError(f"{path} is damaged at byte {member.offset}: build it again first")
        key, _, suffix = member.name.partition(".")
        kind = "json" if suffix == "json" else "image" if suffix in MEMBERS else suffix
        place = {kind: member.offset_data}
        stop = member.offset_data + -(-member.size // BLOCK) * BLOCK
        if sample is not None and sample.key == key:
            sample = sample._replace(stop=stop, places={**sample.places, **place})
            continue
        if sample is not None:
            yield sample
        sample = _Sample(key, member.offset, stop, place)
    if sample is not None:
        yield sample


def _copy(old: BinaryIO, start: int, stop: int, new: Hashed) -> None:
    old.seek(start)
    while start < stop:
        data = old.read(min(stop - start, 1 << 20))
        new.write(data)
        start += len(data)


def _write_rejects(uri: str, gone: list[dict[str, Any]]) -> None:
    """Adds `gone` to a shard's rejects, in the order in which a build writes them."""
    rows = {row["key"]: {**reject_row(row["source"]), "key": row["key"]} for row in gone}
    if storage.exists(uri):
        with storage.open_read(uri) as file:
            rows = {row["key"]: row for row in read_table(file).to_pylist()} | rows
    write_table(uri, [rows[key] for key in sorted(rows, key=split_key)], REJECT_SCHEMA)


def _by_file(
    uri: str, table: str, gone: dict[str, list[dict[str, Any]]]
) -> Iterator[tuple[str, dict[str, list[dict[str, Any]]]]]:
    """Yields the files of a table that have rows of the shards in `gone`, with what is gone from
    each."""
    files = table_files(uri, table)
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for shard, rows in gone.items():
        for path in with_shard(files, shard):
            found[path][shard] = rows
    yield from found.items()


def _write_index(
    path: str, gone: dict[str, list[dict[str, Any]]], written: dict[str, _Shard]
) -> None:
    """Replaces a file of the index; rows of other shards are copied."""
    taken: Counter[str] = Counter()

    def moved(table: pa.Table, name: str) -> pa.Table:
        places, start = written[name].places, taken[name]
        taken[name] += table.num_rows
        for member, offsets in places.items():
            column = f"{member}_offset"
            values = pa.array(offsets[start : taken[name]])
            if len(values) != table.num_rows:
                raise FinehardError(f"{path} does not agree with {name}: build it again first")
            table = table.set_column(table.schema.get_field_index(column), column, values)
        return table

    with (
        storage.open_read(path) as old,
        storage.writing(path) as file,
        pq.ParquetWriter(file, INDEX_SCHEMA, compression="zstd") as index,
    ):
        for table in _left(old, gone):
            shards = table.column("shard").unique().to_pylist()
            parts = [table.filter(pc.equal(table.column("shard"), s)) for s in shards]
            named = zip(parts, shards, strict=True)
            parts = [moved(part, s) if s in written else part for part, s in named]
            index.write_table(pa.concat_tables(parts) if parts else table)


def _write_regions(path: str, gone: dict[str, list[dict[str, Any]]]) -> None:
    """Replaces a file of the regions."""
    with storage.open_read(path) as old, storage.writing(path) as file:
        schema = pq.read_schema(old)
        old.seek(0)
        with pq.ParquetWriter(file, schema, compression="zstd") as new:
            for table in _left(old, gone):
                if table.num_rows:
                    new.write_table(table)


def _left(file: BinaryIO, gone: dict[str, list[dict[str, Any]]]) -> Iterator[pa.Table]:
    """Yields the row groups of a table, which has columns `key` and `shard`, without `gone`."""
    opened = pq.ParquetFile(file)
    for group in range(opened.num_row_groups):
        table = opened.read_row_group(group, use_threads=False)
        shards = table.column("shard").unique().to_pylist()
        keys = [row["key"] for shard in shards for row in gone.get(shard, ())]
        if keys:
            table = table.filter(pc.invert(pc.is_in(table.column("key"), pa.array(keys))))
        yield table


def _manifest(plan: dict[str, Any], written: dict[str, _Shard]) -> dict[str, Any]:
    manifest, samples = plan["manifest"], plan["samples"]
    counts, rejects = dict(manifest["counts"]), dict(manifest["rejects"])
    counts["written"] -= len(samples)
    counts["rejected"] += len(samples)
    for column in ("regions", "hard_negatives"):
        counts[column] -= sum(row[column] for row in samples)
    rejects[REMOVED] = rejects.get(REMOVED, 0) + len(samples)
    shards = [
        written[shard["name"]].listed if shard["name"] in written else shard
        for shard in manifest["shards"]
    ]
    return {**manifest, "counts": counts, "rejects": dict(sorted(rejects.items())),
            "shards": shards}  # fmt: skip
