"""Scenes and finished datasets of them, for tests of curation."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from PIL import Image

from finehard.config import as_dict, parse_config
from finehard.dataset.complete import Origin, complete, remove_side_files
from finehard.dataset.layout import shard_of
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.demo.render import encode, render
from finehard.images import ANY_SIDE, decode
from finehard.records import Bytes, Record, Reject, sample_json
from finehard.stages.provenance import Provenance
from tests.dataset.finished import STAGES, shard
from tests.pictures import encoded, region

SEED = 5


@cache
def scene(index: int) -> Image.Image:
    """A rendered scene."""
    picture, _ = render(SEED, index, True)
    return decode(encode(picture, SEED, index), ANY_SIDE).pixels


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    """`picture` as a JPEG."""
    return encoded(picture, quality=quality)


def folder(path: Path, pictures: dict[str, bytes]) -> Path:
    """A folder of image files by key."""
    path.mkdir(parents=True)
    for key, data in pictures.items():
        (path / f"{key}.jpg").write_bytes(data)
    return path


def dataset(
    path: Path,
    pictures: dict[str, bytes],
    shards: int = 2,
    licenses: dict[str, str] | None = None,
    texts: dict[str, str] | None = None,
) -> Path:
    """A finished dataset of JPEGs by key, with one earlier reject, `bad`."""
    source = folder(path / "in", pictures)
    pointers = []
    for key, data in pictures.items():
        file = source / f"{key}.jpg"
        size = decode(data, ANY_SIDE).pixels.size
        record = Record(
            key.split("~")[0], str(file), "u", Bytes(str(file), 0, len(data)),
            hashlib.sha256(data).hexdigest(), (texts or {}).get(key, "a scene"),
            license=(licenses or {}).get(key), format="jpg", width=size[0], height=size[1],
            short_caption="a scene", long_caption="A scene of things.",
            regions=(region("a mug", "a mug on a table"),),
        )  # fmt: skip
        pointers.append(_packed(path, record.key, str(file), {
            "sample": sample_json(record, STAGES), "image": list(record.image),
            "usage": {"caption": [1, 10, 5]}, "dropped": {"detect.score": [1, "a mug"]},
        }))  # fmt: skip
    reject = Reject("bad", "/in/bad", "caption", "timeout", "no answer")
    row = {name: getattr(reject, name) for name in ("source", "stage", "reason", "detail")}
    pointers.append(_packed(path, "bad", "/in/bad", {"reject": row, "usage": {}, "dropped": {}}))
    model = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    config = parse_config({"models": {"lmm": model, "llm": model}}, "test")
    output = path / "dataset"
    summaries = [
        shard(output, [p for p in pointers if shard_of(p.key, shards) == n], n, shards)
        for n in range(shards)
    ]
    origin = Origin(str(source), as_dict(config), Provenance(STAGES, ()))
    complete(str(output), "run", origin, summaries, len(pointers))
    remove_side_files(str(output), "run")
    return output


def _packed(path: Path, key: str, source: str, item: dict[str, object]) -> Pointer:
    data = pack(item)
    file = path / "in" / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    file.write_bytes(data)
    return Pointer(key, source, Bytes(str(file), 0, len(data)))
