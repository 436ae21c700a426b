"""The report of a large dataset: seconds, peak memory, and size of the file.

The index, the rejects and the journal of captions are synthetic and of full size. The shards have
only the samples that the report reads.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.measure import WORK, verdict
from finehard.dataset.layout import INDEX, MANIFEST
from finehard.dataset.reader import Dataset
from finehard.dataset.tables import INDEX_SCHEMA, REJECT_SCHEMA
from finehard.digest import digest
from finehard.phrases import PhrasesConfig, identity
from finehard.rejects import REASONS
from finehard.report import report
from finehard.report.statistics import SAMPLED, scan

SECONDS_GOAL = 60
PEAK_GOAL_GB = 1.0
SIZE_GOAL_MB = 5
PER_SHARD = 1000
REGIONS = 4
COLORS = ["red", "green", "blue", "yellow", "brown", "black", "white", "pink", "orange", "gray"]
NOUNS = [
    "mug", "box", "hat", "book", "clock", "bowl", "bottle", "chair", "lamp", "vase", "bag",
    "candle",
]  # fmt: skip
PLACES = ["table", "shelf", "chair", "carpet", "bench", "window", "door", "wall"]


def texts(chance: np.random.Generator) -> tuple[str, list[dict[str, Any]]]:
    """Returns a caption of about 160 words and regions of its objects, ten negatives each."""
    sentences, regions = [], []
    for number in range(14):
        color, noun = str(chance.choice(COLORS)), str(chance.choice(NOUNS))
        text = f"a {color} {noun}"
        sentences.append(f"There is {text} with {chance.choice(COLORS)} dots on a "
                         f"{chance.choice(PLACES)}.")  # fmt: skip
        if number < REGIONS:
            x, y = chance.uniform(0, 0.5, 2).tolist()
            others = [c for c in COLORS if c != color] + ["purple"]
            regions.append(
                {"box": [x, y, x + 0.4, y + 0.4], "score": float(chance.uniform(0.4, 1)),
                 "phrase": text, "short_expr": text, "long_expr": f"{text} on a table",
                 "verified": True, "hard_negatives": [
                     {"text": f"a {other} {noun}", "attribute": "color", "original": color,
                      "replacement": other, "verified": True} for other in others]}
            )  # fmt: skip
    return " ".join(sentences), regions


def write_index(folder: Path, samples: int, locations: dict[str, list[int]]) -> None:
    """Writes the index; `locations` has offset and size of image and JSON of existing samples."""
    schema = INDEX_SCHEMA
    shards = -(-samples // PER_SHARD)
    chance = np.random.default_rng(0)
    with pq.ParquetWriter(folder / INDEX, schema, compression="zstd") as writer:
        for start in range(0, samples, PER_SHARD):
            count = min(PER_SHARD, samples - start)
            name = f"finehard-{start // PER_SHARD:05d}-of-{shards:05d}.tar"
            keys = [f"{number:09d}" for number in range(start, start + count)]
            where = np.array([locations.get(key, [0, 0, 0, 0]) for key in keys], np.int64)
            columns = {
                "key": keys, "shard": [name] * count, "image_offset": where[:, 0],
                "image_size": where[:, 1], "json_offset": where[:, 2], "json_size": where[:, 3],
                "format": ["jpg"] * count, "width": chance.integers(200, 2000, count),
                "height": chance.integers(200, 2000, count),
                "regions": chance.integers(0, 9, count),
                "hard_negatives": chance.integers(0, 90, count),
                "long_words": chance.integers(90, 260, count),
                "short_words": chance.integers(8, 30, count),
                "sha256": [f"{number:064x}" for number in chance.integers(0, 1 << 60, count)],
                "source": [f"images/{key}.jpg" for key in keys],
            }  # fmt: skip
            arrays = [pa.array(columns[one.name], one.type) for one in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def write_samples(folder: Path, rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Writes image and JSON of the index rows to their shards; returns their locations by key."""
    chance = np.random.default_rng(1)
    locations = {}
    for number, row in enumerate(rows):
        small = Image.fromarray(chance.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        image = folder / "image.jpg"
        small.resize((1024, 768)).save(image, quality=85)
        caption, regions = texts(chance)
        sample = {
            "key": row["key"], "alt_text": "an alt text", "short_caption": caption[:60],
            "long_caption": caption, "regions": regions,
            "image": {"width": 1024, "height": 768, "source_uri": f"images/{number}.jpg"},
        }  # fmt: skip
        members = (image.read_bytes(), json.dumps(sample).encode())
        location: list[int] = []
        with (folder / "shards" / row["shard"]).open("ab") as shard:
            for member in members:
                location += [shard.tell(), len(member)]
                shard.write(member)
        locations[row["key"]] = location
    return locations


def write_rest(folder: Path, samples: int, rejects: int, manifest: dict[str, Any]) -> None:
    """Writes rejects and the journal of captions, a file per shard."""
    chance = np.random.default_rng(2)
    reasons = list(REASONS)
    shards = -(-samples // PER_SHARD)
    journal = folder / "_journal" / "caption" / "f"
    journal.mkdir(parents=True)
    (folder / "rejected").mkdir()
    for shard in range(shards):
        rows = [
            {"key": f"r{shard}-{n}", "source": f"images/r{shard}-{n}.jpg", "stage": "caption",
             "reason": str(chance.choice(reasons)), "detail": "a detail of some length " * 4}
            for n in range(rejects // shards)
        ]  # fmt: skip
        pq.write_table(
            pa.Table.from_pylist(rows, REJECT_SCHEMA), folder / "rejected" / f"{shard:05d}.parquet"
        )
        tokens = pa.array(chance.integers(150, 400, PER_SHARD))
        table = pa.table({"requests": pa.array([1] * PER_SHARD), "completion_tokens": tokens})
        pq.write_table(table, journal / f"part-{shard:05d}.parquet")
        for row in rows:
            manifest["rejects"][row["reason"]] = manifest["rejects"].get(row["reason"], 0) + 1
    rejected = sum(manifest["rejects"].values())
    manifest["counts"].update(read=samples + rejected, rejected=rejected)


def make(folder: Path, samples: int) -> None:
    """Writes what the report reads of a dataset of `samples` samples."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "shards").mkdir(parents=True)
    config = PhrasesConfig(backend="wordnet")
    manifest: dict[str, Any] = {
        "schema_version": "1.0", "finehard": "bench", "input": "synthetic", "rejects": {},
        "counts": {"written": samples, "renamed_keys": 0, "regions": REGIONS * samples,
                   "hard_negatives": 10 * REGIONS * samples},
        "dropped": {"phrases.duplicate": 3 * samples, "detect.nms": 5 * samples},
        "usage": {"caption": {"requests": samples, "prompt_tokens": 600 * samples,
                              "completion_tokens": 275 * samples}},
        "stages": {"caption": {"model": "m", "revision": "r", "fingerprint": "f"},
                   "phrases": {"model": "wordnet", "revision": "r",
                               "fingerprint": digest(identity(config))}},
        "prompts": {}, "shards": [{"bytes": 10**8}] * -(-samples // PER_SHARD),
        "config": {"phrases": {"backend": "wordnet"}, "verify": {"policy": "drop"}},
    }  # fmt: skip
    write_rest(folder, samples, samples // 20, manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    write_index(folder, samples, {})
    drawn = scan(Dataset(str(folder)), 0, SAMPLED).drawn
    write_index(folder, samples, write_samples(folder, drawn))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        started = time.monotonic(), time.process_time()
        _, file_bytes = report(args.one)
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            time.monotonic() - started[0], time.process_time() - started[1], peak_bytes, file_bytes
        )
        return 0
    folder = WORK / "report-size"
    make(folder, args.samples)
    command = [sys.executable, "-m", "bench.report_size", "--one", str(folder)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, cpu, peak, size = map(float, printed.split())
    print(f"{'samples':>9} {'wall s':>8} {'CPU s':>8} {'peak GB':>8} {'MB':>8}")
    print(f"{args.samples:9d} {seconds:8.1f} {cpu:8.1f} {peak / 1e9:8.3f} {size / 1e6:8.2f}")
    met = verdict("REPORT_SECONDS", seconds, SECONDS_GOAL, False, " s")
    met &= verdict("REPORT_PEAK", peak / 1e9, PEAK_GOAL_GB, False, " GB")
    met &= verdict("REPORT_SIZE", size / 1e6, SIZE_GOAL_MB, False, " MB")
    shutil.rmtree(folder)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
