"""A dataset with all that exports have to mind: many negatives, untrue texts, a turned image."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from finehard.config import as_dict, parse_config
from finehard.dataset.complete import Origin, complete, remove_side_files
from finehard.dataset.layout import shard_of
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.images import ImagesConfig, header
from finehard.records import Bytes, HardNegative, Record, Region, sample_json
from finehard.stages.provenance import Provenance
from tests.dataset.finished import STAGES, shard
from tests.pictures import encoded, picture

COLORS = ("blue", "green", "white", "black", "gray", "pink", "brown", "purple", "yellow",
          "silver", "gold", "beige")  # fmt: skip
SHARDS = 2
SAMPLES = 12


def _negatives(count: int, untrue: int) -> tuple[HardNegative, ...]:
    return tuple(
        HardNegative(f"a {color} mug", "color", "red", color, number >= untrue)
        for number, color in enumerate(COLORS[:count])
    )


def regions(seed: int) -> tuple[Region, ...]:
    """Up to five regions: of 10, 12 and 3 negatives, an untrue text, and none."""
    texts = ("a red mug", "a red mug on the left of the table")
    return (
        Region((0.1, 0.2, 0.5, 0.7), 0.75, "a red mug", *texts, _negatives(10, 0), True),
        Region((0.0, 0.25, 1.0, 0.5), 0.5, "a red mug", *texts, _negatives(12, 1), True),
        Region((0.5, 0.5, 0.75, 1.0), 0.5, "a red mug", *texts, _negatives(3, 0), None),
        Region((0.2, 0.2, 0.3, 0.3), 0.5, "A Table", "a table", "a wooden table", (), True),
        Region((0.3, 0.3, 0.4, 0.4), 0.5, "a cat", "a cat", "a cat asleep", (), False),
    )[: seed % 6]


def dataset(folder: Path) -> Path:
    """A finished dataset of `SAMPLES` samples; every fourth image is stored on its side."""
    pointers = [_sample(folder / "in", number) for number in range(SAMPLES)]
    model = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    config = parse_config({"models": {"lmm": model, "llm": model}}, "test")
    output = folder / "dataset"
    summaries = [
        shard(output, [p for p in pointers if shard_of(p.key, SHARDS) == n], n, SHARDS)
        for n in range(SHARDS)
    ]
    origin = Origin(str(folder / "in"), as_dict(config), Provenance(STAGES, ()))
    complete(str(output), "run", origin, summaries, SAMPLES)
    remove_side_files(str(output), "run")
    return output


def _sample(folder: Path, number: int) -> Pointer:
    folder.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = 6 if number % 4 == 3 else 1
    data = encoded(picture(48, 32, number), "PNG" if number % 4 == 1 else "JPEG", exif=exif)
    info = header(data, ImagesConfig())
    image, item = folder / f"{number}.img", folder / f"{number}.item"
    image.write_bytes(data)
    record = Record(
        f"k{number:02d}", f"/in/{number}", "u", Bytes(str(image), 0, len(data)),
        hashlib.sha256(data).hexdigest(), "alt\ttext", f"https://example.org/{number}",
        format=info.format, width=info.width, height=info.height,
        short_caption=f'A "red" mug, {number}.',
        long_caption=f"There is a red mug\ton a table\u2009— number {number}.",
        regions=regions(number),
    )  # fmt: skip
    packed = pack({"sample": sample_json(record, STAGES), "image": list(record.image),
                   "usage": {}, "dropped": {}})  # fmt: skip
    item.write_bytes(packed)
    return Pointer(record.key, record.source, Bytes(str(item), 0, len(packed)))
