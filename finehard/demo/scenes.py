"""Writes rendered scenes as img2dataset shards, with a truth file beside them.

`python -m finehard.demo.scenes --output DIR --count 200 --seed 1`; the same seed gives the same
bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import tarfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from finehard.demo.render import encode, render
from finehard.demo.world import COLORS, Scene, truth_header, truth_row


@dataclass(frozen=True)
class ScenesConfig:
    """The scenes to write."""

    count: int = 200
    seed: int = 2026
    per_shard: int = 100
    held_out: bool = True
    """Whether the color-kind pairs held out of training may occur."""
    workers: int = 1


def alt_text(scene: Scene, rng: np.random.Generator) -> str | None:
    """Returns an alt text as found on the web: short, sloppy, sometimes wrong or missing."""
    thing = scene.things[rng.integers(len(scene.things))]
    color = thing.color if rng.random() > 0.2 else COLORS[rng.integers(len(COLORS))]
    kinds = " ".join(dict.fromkeys(t.kind for t in scene.things))
    choices = (
        None,
        f"{color} {thing.kind}",
        f"{color.title()} {thing.kind} - buy online!!",
        f"IMG_{rng.integers(1000, 9999)}.JPG",
        f"{kinds} photo",
        f"my {thing.kind} on the table :)",
        f"stock photo of {thing.kind}s, high quality {color}",
        f"{thing.pattern} {thing.kind} &amp; more",
    )
    return choices[rng.integers(len(choices))]


def write_scenes(folder: str | Path, config: ScenesConfig) -> Path:
    """Writes shards as img2dataset does ({00000..}.tar, .parquet, _stats.json) and truth.jsonl.

    Returns the path of the truth file (docs/truth.md). A shard's JSON and text members hold the alt
    text; the truth is not in the tars.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    shards = range(math.ceil(config.count / config.per_shard))
    write = partial(_write_shard, target, config)
    if config.workers > 1 and len(shards) > 1:
        with ProcessPoolExecutor(config.workers) as pool:
            rows = list(pool.map(write, shards))
    else:
        rows = [write(shard) for shard in shards]
    truth = target / "truth.jsonl"
    temporary = truth.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(truth_header()) + "\n")
        file.writelines(line + "\n" for shard_rows in rows for line in shard_rows)
    temporary.rename(truth)
    return truth


def _write_shard(target: Path, config: ScenesConfig, shard: int) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    truths: list[str] = []
    rows: list[dict[str, Any]] = []
    first = shard * config.per_shard
    with tarfile.open(target / f"{shard:05d}.tar", "w") as tar:
        for index in range(first, min(config.count, first + config.per_shard)):
            image, scene = render(config.seed, index, config.held_out)
            data = encode(image, config.seed, index)
            key = f"{shard:05d}{index - first:04d}"
            digest = hashlib.sha256(data).hexdigest()
            text = alt_text(scene, np.random.default_rng((config.seed, index, 1 << 21)))
            row = {
                "url": f"https://example.org/scenes/{config.seed}/{index}.jpg",
                "caption": text,
                "key": key,
                "status": "success",
                "error_message": None,
                "width": scene.width,
                "height": scene.height,
                "original_width": scene.width,
                "original_height": scene.height,
                "exif": "{}",
                "sha256": digest,
            }
            rows.append(row)
            truths.append(json.dumps(truth_row(key, scene, digest)))
            _add(tar, f"{key}.jpg", data)
            _add(tar, f"{key}.json", json.dumps(row, indent=4).encode())
            if text is not None:
                _add(tar, f"{key}.txt", text.encode())
    strings = ("url", "caption", "key", "status", "error_message")
    schema = pa.schema(
        [(name, pa.string()) for name in strings]
        + [(name, pa.int64()) for name in ("width", "height", "original_width", "original_height")]
        + [("exif", pa.string()), ("sha256", pa.string())]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), target / f"{shard:05d}.parquet")
    stats = {
        "count": len(rows),
        "successes": len(rows),
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "status_dict": {"success": len(rows)},
    }
    (target / f"{shard:05d}_stats.json").write_text(json.dumps(stats, indent=1))
    return truths


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True)
    parser.add_argument("--count", type=int, default=ScenesConfig.count)
    parser.add_argument("--seed", type=int, default=ScenesConfig.seed)
    parser.add_argument("--workers", type=int, default=ScenesConfig.workers)
    args = parser.parse_args()
    config = ScenesConfig(count=args.count, seed=args.seed, workers=args.workers)
    print(write_scenes(args.output, config))


if __name__ == "__main__":
    main()
