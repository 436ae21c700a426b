"""Curates a finished dataset: a new one without the images that are not wanted.

Measure each picture, find copies, decide, write: each step is a Beam pipeline over shards or bands,
and leaves files by which a pass that was stopped goes on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from finehard import registry
from finehard.config import PACKAGE_FOLDER
from finehard.curate import copies
from finehard.curate.bands import BANDS
from finehard.curate.candidates import best
from finehard.curate.config import CurateConfig
from finehard.curate.judge import Judge, content, reasons
from finehard.curate.measured import Measured, all_staying, measure_shard, measured
from finehard.curate.reason import Reason
from finehard.curate.rewritten import save_left_out
from finehard.curate.work import Work
from finehard.dataset.complete import Origin, begin, remove_side_files
from finehard.dataset.layout import JOURNAL, ShardsConfig, shard_count
from finehard.dataset.reader import Dataset, open_dataset
from finehard.digest import json_digest, source_hash
from finehard.errors import FinehardError, UsageError, error_line
from finehard.io import storage
from finehard.preflight import check_output
from finehard.settings.read import checked, overridden, read_yaml
from finehard.stages.provenance import Provenance
from finehard.state.lock import locked
from finehard.state.runs import new_run

_log = logging.getLogger(__name__)


class Curated(NamedTuple):
    """A curated dataset: its manifest, and by reason how many samples were left out."""

    manifest: dict[str, Any]
    left_out: dict[str, int]


def load_curate_config(name: str | None, settings: Sequence[str] = ()) -> CurateConfig:
    """Returns the `curate` section of the config in file `name`, whose other sections may be those
    of a build; the defaults without a file. Raises `UsageError` with what is wrong and where."""
    values, path = ({}, "the command line") if name is None else read_yaml(name, "configs")
    if name is not None:
        registry.add_path(os.path.dirname(path))
    values, where = overridden(values, settings, path)
    section = values.get("curate", {}) if isinstance(values, dict) else None
    if section is None or (name is not None and "curate" not in values):
        raise UsageError(f"{where}: there is no section curate")
    if strange := [s for s in settings if not s.startswith("curate.")]:
        raise UsageError(f"--set {strange[0]}: only settings of curate are used here")
    return checked(section, CurateConfig, f"{where}: curate")


def curate(
    dataset: str, output: str, config: CurateConfig | None = None, beam: Sequence[str] = (),
    stores: storage.Options | None = None,
) -> Curated:  # fmt: skip
    """Writes the dataset `output` from what of the finished `dataset` is to stay.

    Samples that stay have the same bytes; others, and those that were rejects before, are rejects.
    `beam` are options for the runner. Raises `UsageError` before anything is written,
    `FinehardError` when it fails; the same call then continues where it stopped.
    """
    from finehard.beam import run

    config = config or CurateConfig()
    options = run.options(list(beam))
    given = storage.configure(stores or {}, run.storage_options(options))
    old, target = open_dataset(dataset), storage.local(output)
    check_output(target, old.uri)
    work = _work(old, target, config, given)
    Judge(config), work.embedder()  # what is missing is told before anything is written
    with locked(target):
        return _curate(old, work, options)


def _work(old: Dataset, target: str, config: CurateConfig, stores: Mapping[str, Any]) -> Work:
    if config.columns:
        raise UsageError(
            "curate.columns: a finished dataset does not have the columns of its source; they work "
            "in a build"
        )
    shards = [shard["sha256"] for shard in old.manifest["shards"]]
    own = reasons(config)  # imports the user's checks
    code = registry.user_code()
    named, source = content(config), source_hash(PACKAGE_FOLDER)
    decided = [asdict(config), named, shards, source, code.sources, own]
    return Work(
        old.uri, target, new_run(), json_digest(decided), len(shards), config, code=code,
        storage=stores,
    )  # fmt: skip


def _curate(old: Dataset, work: Work, options: Any) -> Curated:
    from finehard.beam import curate as steps

    storage.sweep(storage.join(work.output, JOURNAL))
    begin(work.output)
    counts = old.manifest["counts"]
    _log.info("measuring %d pictures of %s", counts["written"], old.uri)
    steps.run_each("measure", partial(measure_shard, work), range(work.shards), options)
    found = measured(work)
    left_out = _copies(found, options)
    staying = int(found.starts[-1]) - len(left_out)
    per_shard = max(1, -(-counts["written"] // work.shards))
    work = replace(work, new_shards=shard_count(staying, ShardsConfig(per_shard)))
    _log.info("writing %d samples to %s", staying, work.output)
    _save_by_shard(found, left_out)
    steps.run_rewrite(work, _origin(old, work), counts["read"], options)
    manifest = open_dataset(work.output).manifest
    remove_side_files(work.output, work.run)
    storage.delete_tree(storage.join(work.output, JOURNAL, "_curated"))
    _write_report(work.output)
    before = old.manifest["rejects"]
    more = {name: n - before.get(name, 0) for name, n in manifest["rejects"].items()}
    return Curated(manifest, {name: n for name, n in more.items() if n})


def _copies(found: Measured, options: Any) -> dict[int, Reason]:
    """Returns why pictures are copies, by number."""
    from finehard.beam import curate as steps

    work = found.work
    groups = copies.same_bytes(all_staying(work, ["sha256"]))
    alone = np.ones(int(found.starts[-1]), bool)
    for group in groups:
        alone[group[1:]] = False
    copies.save(work.file("alone", 0), alone)
    _log.info("looking for copies among %d pictures", int(alone.sum()))
    steps.run_each("bands", partial(_band, found), range(BANDS), options)
    pairs = best(np.concatenate([copies.load(work.file("pairs", n)) for n in range(BANDS)]))
    parts = copies.parts(pairs)
    for number, part in enumerate(parts):
        copies.save(work.file("candidates", number), pairs[part])
    _log.info("comparing %d pairs of pictures", len(pairs))
    steps.run_each("compare", partial(_verify, found), range(len(parts)), options)
    copied = [copies.load(work.file("copies", number)) for number in range(len(parts))]
    if work.config.embeddings is not None:
        every = range(copies.VECTOR_BANDS)
        steps.run_each("vectors", partial(_vectors, found), every, options)
        copied += [copies.load(work.file("similar", n)) for n in every]
    joined = np.concatenate([np.empty(0, copies.FOUND), *copied])
    return copies.copies(work, groups, joined)


def _band(found: Measured, band: int) -> None:
    alone = copies.load(found.work.file("alone", 0))
    copies.save(found.work.file("pairs", band), copies.pairs_of_band(found, alone, band))


def _verify(found: Measured, part: int) -> None:
    pairs = copies.load(found.work.file("candidates", part))
    copies.save(found.work.file("copies", part), copies.verified_pairs(found, pairs))


def _vectors(found: Measured, band: int) -> None:
    copies.save(found.work.file("similar", band), copies.similar_vectors(found, band))


def _save_by_shard(found: Measured, left_out: dict[int, Reason]) -> None:
    """Saves for each shard which of its pictures, numbered from its first, are copies."""
    of: list[dict[int, Reason]] = [{} for _ in range(found.work.shards)]
    for number, reason in left_out.items():
        shard, row = found.place(number)
        of[shard][row] = reason
    for shard, reasons_of_shard in enumerate(of):
        save_left_out(found.work, shard, reasons_of_shard)


def _origin(old: Dataset, work: Work) -> Origin:
    """Returns what the new dataset is made from: what the old one was, and the curation."""
    manifest = old.manifest
    taken = ("prompts", "usage", "dropped", "pipeline")
    own: dict[str, Any] = {name: manifest[name] for name in taken if name in manifest}
    own["reject_reasons"] = {**manifest.get("reject_reasons", {}), **reasons(work.config)}
    settings = {**manifest["config"], "curate": asdict(work.config)}
    made_by = Provenance(manifest["stages"], (), own)
    return Origin(old.uri, settings, made_by, manifest.get("unread", {}))


def _write_report(output: str) -> None:
    """Writes report.html; a dataset is whole without one, so a failure is only logged."""
    from finehard.report import report

    try:
        report(output)
    except FinehardError as error:
        _log.warning("no report.html: %s", error_line(error, 200))
