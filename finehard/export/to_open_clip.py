"""Tars with a .txt member in each sample, as open_clip and most webdataset readers expect them."""

from __future__ import annotations

import io
import tarfile

import orjson

from finehard.dataset.reader import Dataset
from finehard.export.target import Target, by_shard


def write(dataset: Dataset, target: Target) -> None:
    """Writes a tar for each shard, with image, .json and .txt, and sizes.json, from which open_clip
    takes the number of samples."""
    sizes = write_tars(dataset, target)
    with target.writing("sizes.json") as file:
        file.write(orjson.dumps(sizes, option=orjson.OPT_INDENT_2))


def write_tars(dataset: Dataset, target: Target) -> dict[str, int]:
    """Writes the tars; returns the number of samples by file name."""
    sizes = {}
    for name, samples in by_shard(dataset):
        with (
            target.writing(f"{name}.tar") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            sizes[f"{name}.tar"] = 0
            for sample in samples:
                picture, meta = target.picture(sample), sample.json
                members = {
                    picture.suffix: picture.data,
                    "json": orjson.dumps(meta),
                    "txt": target.caption(meta).encode(),
                }
                for suffix, data in sorted(members.items()):
                    _add(tar, f"{sample.key}.{suffix}", data)
                sizes[f"{name}.tar"] += 1
        target.counts["samples"] += sizes[f"{name}.tar"]
    return sizes


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o444
    info.uname = info.gname = "finehard"
    tar.addfile(info, io.BytesIO(data))
