"""What it costs to run the same command again: CPU an image, and seconds when all is finished.

A build of `--built` images is run again from its journal alone, and from its checkpoints. Then
checkpoints of `--images` images are made as a build would leave them, before it wrote shards: the
command writes these, and run once more it finds the dataset finished.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from bench.inputs import write_tars
from bench.measure import WORK, Run, build, config, server, verdict
from finehard.dataset.layout import CHECKPOINTS, JOURNAL, MANIFEST
from finehard.dataset.packed import pack
from finehard.images import ImagesConfig, header
from finehard.records import Bytes, Region, sample_json
from finehard.sources import Loaded, SourceConfig, Unit, discover, read, units
from finehard.sources.identity import unit_identity
from finehard.state import checkpoints
from finehard.state.checkpoints import Checkpoint, Row

GOAL_MS, GOAL_S = 0.1, 5.0
SIZE = 96, 64
_TEXT = "a red mug beside a blue bottle on a wooden table, behind them a green lamp and a chair"


def make_checkpoints(source: Path, output: Path, settings: str) -> None:
    """Saves a checkpoint of every unit of `source`, as if all of it were through."""
    checkpoints.prepare(str(output), settings)
    for file in discover(str(source)):
        for unit in units(file, SourceConfig()):
            _make_checkpoint(unit, output, settings)


def _make_checkpoint(unit: Unit, output: Path, settings: str) -> None:
    folder = checkpoints.folder_of(str(output), settings, unit.id)
    uri = checkpoints.new_records(folder, unit.id)
    Path(folder).mkdir(parents=True, exist_ok=True)
    rows, packed = [], bytearray()
    for item in read(unit, SourceConfig()):
        assert isinstance(item, Loaded)
        data = _packed(item)
        rows.append(
            Row(item.record.key, item.record.source, Bytes(uri, len(packed), len(data)),
                rejected=False, may_pass=False)
        )  # fmt: skip
        packed += data
    Path(uri).write_bytes(packed)
    identity = unit_identity(unit)
    assert identity is not None
    checkpoints.save(folder, unit.id, Checkpoint(identity, tuple(rows)))


def _packed(item: Loaded) -> bytes:
    info = header(item.data, ImagesConfig())
    region = Region((0.1, 0.2, 0.5, 0.6), 0.5, "a mug", "a red mug", _TEXT)
    record = replace(
        item.record,
        sha256=hashlib.sha256(item.data).hexdigest(),
        format=info.format, width=info.width, height=info.height,
        short_caption=_TEXT, long_caption=4 * _TEXT, regions=4 * (region,),
    )  # fmt: skip
    sample = sample_json(record, {})
    return pack({"sample": sample, "image": list(record.image), "usage": {}, "dropped": {}})


def rerun(settings: Path, source: Path, output: Path, *forgotten: str) -> Run:
    """Runs a build again without what is `forgotten` of it, at least its manifest."""
    (output / MANIFEST).unlink()
    for name in forgotten:
        shutil.rmtree(output / JOURNAL / name)
    return build(settings, source, output)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32_000)
    parser.add_argument("--built", type=int, default=1_000)
    args = parser.parse_args()
    folder = WORK / "resume"
    for name in ("out-16", "out", "out-through"):
        shutil.rmtree(folder / name, ignore_errors=True)
    sources = {count: WORK / f"small-{count}" for count in (16, args.built, args.images)}
    for count, source in sources.items():
        write_tars(source, count, *SIZE)
    with server("--slots", "256", "--least-s", "0", "--most-s", "0") as url:
        settings = config(folder, url)
        start = build(settings, sources[16], folder / "out-16")
        start = rerun(settings, sources[16], folder / "out-16")
        built, output = sources[args.built], folder / "out"
        build(settings, built, output)
        journal = rerun(settings, built, output, CHECKPOINTS)
        through = rerun(settings, built, output)
        output = folder / "out-through"
        current = folder / "out" / JOURNAL / CHECKPOINTS / "current"
        make_checkpoints(sources[args.images], output, current.read_text())
        written = build(settings, sources[args.images], output)
        assert f"{args.images} images had been brought through" in written.output, written.output
        again = build(settings, sources[args.images], output)
        assert "is complete" in again.output, again.output

    def ms(run: Run, images: int) -> float:
        return 1000 * (run.cpu_s - start.cpu_s) / (images - 16)

    print(f"CPU an image, {args.built} images from the journal: {ms(journal, args.built):.2f} ms")
    print(f"from checkpoints: {ms(through, args.built):.2f} ms")
    print(f"{args.images} from checkpoints: {ms(written, args.images):.2f} ms, shards written")
    print(f"a start: {start.wall_s:.1f} s, {start.cpu_s:.1f} s of CPU; the finished build: "
          f"{again.wall_s:.1f} s, {again.cpu_s:.1f} s of CPU")  # fmt: skip
    cheap = verdict("FINISHED_CPU", 1000 * again.cpu_s / args.images, GOAL_MS, False, " ms")
    return 0 if verdict("FINISHED_AGAIN", again.wall_s, GOAL_S, False, " s") and cheap else 1


if __name__ == "__main__":
    sys.exit(main())
