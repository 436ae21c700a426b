"""Reads CLIP_benchmark's webdatasets: tars of images with labels or captions."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

from finehard.benchmarks.folder import Absent, Folder, parsed
from finehard.benchmarks.items import (
    Classes,
    ClassList,
    Data,
    Labelled,
    Pair,
    Pairs,
    Picture,
)
from finehard.errors import FinehardError
from finehard.images import SUFFIXES
from finehard.io import storage
from finehard.records import Bytes
from finehard.sources.tar import Damage, members

KINDS = ("classification", "multilabel", "retrieval")
_ENDING = {"classification": ".cls", "multilabel": ".npy", "retrieval": ".txt"}


def kind_of(folder: Folder) -> str:
    """Returns one of `KINDS`: what dataset_type.txt says, else classification."""
    try:
        uri = folder.find("dataset_type.txt")
    except Absent:
        return "classification"
    kind = storage.read_all(uri).decode().strip().lower()
    if kind not in KINDS:
        raise FinehardError(f"{uri}: {kind!r} is not one of {', '.join(KINDS)}")
    return kind


def place_of(root: str, name: str) -> Folder:
    """Returns the folder of the webdataset `name` below `root`: called NAME or wds_NAME, or as the
    Hub's cache calls it. Raises `Absent`."""
    flat = name.replace("/", "-")
    base = Folder(root)
    for one in (name, f"wds_{flat}", f"wds/{flat}", f"wds/wds_{flat}"):
        if storage.exists(storage.join(root, one, "test", "nshards.txt")):
            return Folder(storage.join(root, one))
    cached = storage.join(root, f"datasets--clip-benchmark--wds_{flat}", "snapshots")
    if not storage.is_remote(root) and storage.is_dir(cached):
        for file in storage.walk(cached):
            if file.uri.endswith("/test/nshards.txt"):
                return Folder(file.uri.removesuffix("/test/nshards.txt"))
    raise Absent(f"{base.uri}: no webdataset {name} (a folder with test/nshards.txt)")


def webdataset(folder: Folder) -> Data:
    """Reads the test split."""
    kind = kind_of(folder)
    shards = folder.find("test/nshards.txt")
    count = parsed(shards, lambda: int(storage.read_all(shards)))
    rows = [row for number in range(count) for row in _rows(folder, number, _ENDING[kind])]
    if kind == "retrieval":
        pairs = [Pair(picture, _captions(picture, at)) for picture, at in rows]
        blank = sum(not pair.captions for pair in pairs)
        notes = (f"{blank:,} images without a caption are left out",) if blank else ()
        return Pairs([pair for pair in pairs if pair.captions], notes)
    names = _lines(folder.find("classnames.txt"))
    templates = _lines(folder.find("zeroshot_classification_templates.txt"))
    classes = ClassList(tuple(names), tuple(templates))
    labels = _label if kind == "classification" else _several
    items = [Labelled(p, labels(p, at)) for p, at in rows]
    largest = max((n for item in items for n in item.labels), default=0)
    if largest >= len(names):
        raise FinehardError(f"{folder.uri}: class {largest}, but {len(names)} names of classes")
    return Classes(items, classes, kind == "multilabel")


def _lines(uri: str) -> list[str]:
    """Returns the lines of a text file, stripped; blank ones too, since their place counts."""
    return [line.strip() for line in storage.read_all(uri).decode("utf-8").splitlines()]


def _rows(folder: Folder, number: int, ending: str) -> Iterator[tuple[Picture, Bytes]]:
    """Yields the images of a shard, and where their labels are."""
    uri = folder.find(f"test/{number}.tar")
    images: dict[str, tuple[int, Picture]] = {}
    texts: dict[str, Bytes] = {}
    with storage.open_read(uri) as file:
        for member in members(file, 0, storage.size(uri)):
            if isinstance(member, Damage):
                raise FinehardError(f"{uri}: {member.reason} at byte {member.offset}")
            key, dot, suffix = member.name.rpartition(".")
            where = Bytes(uri, member.offset_data, member.size)
            if dot + suffix.lower() in SUFFIXES:
                images[key] = member.offset, Picture(f"{number}.tar/{member.name}", where)
            elif dot + suffix == ending:
                texts[key] = where
    for key, (_, picture) in images.items():
        if key not in texts:
            raise FinehardError(f"{uri}: {picture.name} has no {ending}")
        yield picture, texts[key]


def _captions(picture: Picture, at: Bytes) -> tuple[str, ...]:
    text = parsed(picture.name, lambda: storage.read(at).decode("utf-8"))
    return tuple(line for line in text.splitlines() if line.strip())


def _label(picture: Picture, at: Bytes) -> tuple[int, ...]:
    return (parsed(picture.name, lambda: int(storage.read(at))),)


def _several(picture: Picture, at: Bytes) -> tuple[int, ...]:
    row = parsed(picture.name, lambda: np.load(io.BytesIO(storage.read(at)), allow_pickle=False))
    return tuple(int(n) for n in np.flatnonzero(row))
