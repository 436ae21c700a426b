"""Finished samples, and whole datasets, made without a pipeline run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from finehard.config import as_dict, parse_config
from finehard.dataset.complete import Origin, complete, remove_side_files
from finehard.dataset.layout import ShardsConfig, shard_of
from finehard.dataset.packed import pack
from finehard.dataset.parts import SHARDS_PER_PART
from finehard.dataset.pointers import Pointer
from finehard.dataset.summary import ShardSummary
from finehard.dataset.writer import write_shard
from finehard.images import ImagesConfig, header
from finehard.records import Bytes, HardNegative, Record, Reject, sample_json
from finehard.stages.prompts import Prompt, load_prompt
from finehard.stages.provenance import Provenance
from tests.pictures import encoded, jpg, picture, region

STAGES = {"caption": {"model": "m", "revision": None, "fingerprint": "f"}}


class Store:
    """A folder with images and finished records, as workers leave them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._number = 0

    def _put(self, data: bytes, name: str = "") -> Bytes:
        self._number += 1
        path = self.folder / (name or f"{self._number}.bin")
        path.write_bytes(data)
        return Bytes(str(path), 0, len(data))

    def sample(self, key: str, seed: int = 0, kind: str = "JPEG", size: int = 40) -> Pointer:
        """A finished sample; `seed` says which picture and how many regions."""
        data = encoded(picture(size, 30, seed), kind) if kind != "JPEG" else jpg(seed, size)
        info = header(data, ImagesConfig())
        source = f"/in/{seed:03d}"
        negatives = tuple(
            HardNegative(f"a {color} mug", "color", "red", color, True)
            for color in ("blue", "green")
        )
        record = Record(
            key, source, "u", self._put(data, f"{seed:03d}-{kind}.img"),
            hashlib.sha256(data).hexdigest(), alt_text="täxt 😀",
            url=f"https://example.org/{seed}.jpg", format=info.format,
            width=info.width, height=info.height, short_caption="a red mug",
            long_caption=f"A red mug, number {seed}.",
            regions=(region("a red mug", "a red mug on a table", hard_negatives=negatives),)
            * (seed % 3),
        )  # fmt: skip
        item = {"sample": sample_json(record, STAGES), "image": list(record.image),
                "usage": {"caption": [1, 10, 5]},
                "dropped": {"detect.score": [1, "a mug"]}}  # fmt: skip
        return Pointer(key, source, self._put(pack(item)))

    def reject(self, key: str, seed: int = 0, reason: str = "timeout") -> Pointer:
        """A reject."""
        made = Reject(key, f"/in/{seed:03d}", "caption", reason, "no answer")
        row = {name: getattr(made, name) for name in ("source", "stage", "reason", "detail")}
        item = {"reject": row, "usage": {}, "dropped": {}}
        return Pointer(key, made.source, self._put(pack(item)))


def shard(
    output: Path, pointers: list[Pointer], index: int = 0, count: int = 1, **settings: Any
) -> ShardSummary:
    """Writes one shard."""
    config = ShardsConfig(**settings)
    return write_shard(str(output), "run", index, count, pointers, config, ImagesConfig())


def dataset(folder: Path, count: int = 3, most: int = SHARDS_PER_PART) -> Path:
    """A finished dataset of 16 samples and 4 rejects in `count` shards, with a key met twice; at
    most `most` shards are in a part of its tables."""
    store = Store(folder / "in")
    pointers = [store.sample(f"k{n:02d}", n, ("JPEG", "PNG", "WEBP")[n % 3]) for n in range(15)]
    pointers += [store.sample("k04", 20), store.reject("k04", 21), store.reject("bad", 22)]
    pointers += [store.reject("worse", 23, "not_an_image"), store.reject("gone", 24)]
    model = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    config = parse_config({"models": {"lmm": model, "llm": model}}, "test")
    output = folder / "dataset"
    origin = Origin(str(folder / "in"), as_dict(config), Provenance(STAGES, _prompts()))
    summaries = [
        shard(output, [p for p in pointers if shard_of(p.key, count) == n], n, count)
        for n in range(count)
    ]
    complete(str(output), "run", origin, summaries, len(pointers), most=most)
    remove_side_files(str(output), "run")
    return output


def _prompts() -> tuple[Prompt, ...]:
    return (load_prompt("caption.v1", "caption", ("long_words", "alt_text")),)
