"""Tar shards in webdataset's layout, as img2dataset writes them: {key}.jpg, {key}.json, {key}.txt.

The members of a sample are adjacent and share the name up to the first dot. Names may have more
dots: every image is a sample, with the text of its own name or else of the shared one. Of a sample
only the image, .json and .txt are read. A compressed tar is one unit, expanded while it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import tee
from typing import Any, BinaryIO

from finehard.errors import error_line
from finehard.io import storage
from finehard.records import Bytes, Record, Reject
from finehard.rejects import REASONS
from finehard.sources.compressed import Opened, open_tar
from finehard.sources.source import (
    NOWHERE,
    Loaded,
    SourceConfig,
    SourceFile,
    Unit,
    chosen_metadata,
    clean_text,
    cuts,
    safe_key,
    unit_id,
    wanted,
)
from finehard.sources.suffixes import IMAGES, TARS
from finehard.sources.tar import BLOCK, Damage, Member, members

suffixes = TARS
_IMAGES = tuple(suffix.removeprefix(".") for suffix in IMAGES)
MAX_SIDE_FILE = 4 << 20
"""Maximum number of bytes read of a .json or .txt member."""
_MAX_PARTS = 64
"""Members after which a run may end; a usual sample has three."""


@dataclass
class _Run:
    """Adjacent members that share a stem, by suffix; or a damaged stretch."""

    stem: str
    offset: int
    parts: dict[str, Member] = field(default_factory=dict)
    damage: Damage | None = None

    @property
    def images(self) -> list[str]:
        """The suffixes of the images."""
        return [suffix for suffix in self.parts if suffix.rpartition(".")[2] in _IMAGES]

    def is_full(self, suffix: str) -> bool:
        """Returns whether a member with `suffix` begins another run: never inside a sample, unless
        its members are very many."""
        if len(self.parts) < _MAX_PARTS:
            return False
        last = next(reversed(self.parts))
        same = last.rpartition(".")[0] == suffix.rpartition(".")[0]
        return not same or len(self.parts) >= 2 * _MAX_PARTS


@dataclass(frozen=True)
class _Group:
    """The members of one sample, or those of a run without an image; or a damaged stretch.

    `first` is whether it is the first of its run: a unit can begin there.
    """

    stem: str
    offset: int
    parts: tuple[Member, ...] = ()
    image: Member | None = None
    text: Member | None = None
    meta: Member | None = None
    damage: Damage | None = None
    first: bool = True


def _stem_and_suffix(name: str) -> tuple[str, str]:
    while name.startswith("./"):
        name = name[2:]
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return folder + slash + stem, suffix.lower()


def _runs(file: BinaryIO, start: int, stop: int) -> Iterator[_Run]:
    run: _Run | None = None
    for item in members(file, start, stop):
        stem, suffix = _stem_and_suffix(item.name)
        if isinstance(item, Damage):
            if run:
                yield run
            yield _Run(stem, item.offset, damage=item)
            run = None
            continue
        # a repeated name is another sample of that name
        if run and (run.stem != stem or suffix in run.parts or run.is_full(suffix)):
            yield run
            run = None
        run = run or _Run(stem, item.offset)
        run.parts[suffix] = item
    if run:
        yield run


def _merged(file: BinaryIO, start: int, stop: int) -> Iterator[_Run]:
    """Yields samples and damaged stretches, a damaged stretch with the rest of its sample."""
    held: _Run | None = None
    for run in _runs(file, start, stop):
        if held and not held.images and not run.images and bool(held.damage) != bool(run.damage):
            bare, damaged = (run, held) if held.damage else (held, run)
            if damaged.stem in ("", bare.stem):
                held = _Run(bare.stem, held.offset, bare.parts, damaged.damage)
                continue
        if held:
            yield held
        held = run
    if held:
        yield held


def _groups(tar: Opened, start: int, stop: int) -> Iterator[_Group]:
    for run in _merged(tar.file, start, stop) if tar.size or not tar.damage else ():
        yield from _split(run)
    if tar.damage:
        yield _Group("", tar.size, damage=Damage("truncated_archive", tar.size, tar.damage))


def _split(run: _Run) -> Iterator[_Group]:
    """Yields a group for each image of `run`, with its own side files or the shared ones."""
    images = run.images
    if run.damage or not images:
        yield _Group(run.stem, run.offset, tuple(run.parts.values()), damage=run.damage)
    for number, suffix in enumerate(images):
        own, dot, _ = run.parts[suffix].name.rpartition("/")[2].partition(".")[2].rpartition(".")
        image = run.parts[suffix]
        text, meta = (
            run.parts.get(f"{own.lower()}{dot}{kind}", run.parts.get(kind))
            for kind in ("txt", "json")
        )
        used = (image, text, meta) if len(images) > 1 else run.parts.values()
        parts = tuple(member for member in used if member)
        stem = f"{run.stem}{dot}{own}"
        yield _Group(stem, run.offset, parts, image, text, meta, first=number == 0)


def count(file: SourceFile, config: SourceConfig) -> int | None:
    """Returns the number of samples in img2dataset's statistics beside the tar; None without."""
    try:
        stats = json.loads(storage.read_all(file.uri.removesuffix(".tar") + "_stats.json"))
        successes = stats["successes"]
        if isinstance(successes, int) and 0 < successes <= file.size // (2 * BLOCK):
            return successes
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Scans the headers and splits the tar before samples whose stem's hash says so."""
    start = samples = 0
    end = file.size
    first: str | None = None
    ids: dict[str, int] = {}

    def unit(stop: int) -> Unit:
        name = first or ""
        ids[name] = ids.get(name, 0) + 1  # a stem can occur again, a unit's id must not
        again = f"~{ids[name]}" if ids[name] > 1 else ""
        return Unit(unit_id(file, name + again), file, start, stop, samples=samples)

    try:
        with open_tar(file.uri) as opened:
            end = opened.size
            groups, same = tee(_groups(opened, 0, end))
            stems = (None if group.damage or not group.first else group.stem for group in same)
            for group, cut in zip(groups, cuts(stems, config.unit_size), strict=True):
                if cut and not opened.compressed:
                    yield unit(group.offset)
                    start, samples, first = group.offset, 0, None
                first = group.stem if first is None else first
                samples += 1
    except OSError:
        samples += 1  # `read` fails too, which makes a reject
    yield unit(end)


def position(source: str) -> int | None:
    """Returns the offset in the tar that `source` names, in bytes."""
    offset = source.rpartition("@")[2]
    return int(offset) if offset.isdecimal() else None


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """Yields the unit's samples in order. A damaged stretch is a reject that names the byte."""
    uri = unit.file.uri
    try:
        with open_tar(uri) as opened:
            for group in _groups(opened, unit.start, unit.stop):
                if wanted(unit.file, _source(uri, group)):
                    yield _sample(opened, unit, group, config)
    except OSError as error:
        detail = error_line(error, 200)
        key = safe_key(f"{unit.file.name}_{unit.start}")
        yield Reject(key, f"{uri}#@{unit.start}", "source", "unreadable_archive", detail)


def _source(uri: str, group: _Group) -> str:
    if group.damage:
        return f"{uri}#@{group.damage.offset}"
    named = group.image or group.parts[0]
    return f"{uri}#{named.name}@{named.offset_data}"


def _sample(tar: Opened, unit: Unit, group: _Group, config: SourceConfig) -> Loaded | Reject:
    key = safe_key(group.stem)
    source = _source(unit.file.uri, group)

    def rejected(reason: str, detail: str = "") -> Reject:
        return Reject(key, source, "source", reason, detail[:300] or REASONS[reason])

    if group.damage:
        key = key if group.stem else safe_key(f"{unit.file.name}_{group.damage.offset}")
        where = f"at byte {group.damage.offset} of {tar.size}"
        return rejected(group.damage.reason, f"{where}: {group.damage.detail}")
    unsafe = next((m for m in group.parts if not m.regular or _leaves(m.name)), None)
    if unsafe is not None:
        return rejected("unsafe_member", unsafe.name)
    image = group.image
    if image is None:
        return rejected("missing_image", "only " + ", ".join(m.name for m in group.parts))
    if image.size > config.max_image_bytes:
        return rejected("image_file_too_large", f"{image.size} bytes")
    text, meta = b"", {}
    try:
        data = _data(tar.file, image, image.size)
        if group.text:
            text = _data(tar.file, group.text, MAX_SIDE_FILE)
        if group.meta:
            meta = _json(_data(tar.file, group.meta, MAX_SIDE_FILE))
    except (OSError, EOFError) as error:
        return rejected("unreadable_image", str(error))
    record = Record(
        key=key,
        source=source,
        unit=unit.id,
        image=NOWHERE if tar.compressed else Bytes(unit.file.uri, image.offset_data, image.size),
        sha256="",
        alt_text=clean_text(text.decode("utf-8", "replace")) or clean_text(meta.get("caption")),
        url=clean_text(meta.get("url")),
        license=clean_text(meta.get("license")),
        metadata=chosen_metadata(meta, config),
    )
    return Loaded(record, data)


def _leaves(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/") or "\\" in name


def _data(file: BinaryIO, member: Member, most: int) -> bytes:
    size = min(member.size, most)
    file.seek(member.offset_data)
    data = file.read(size)
    if len(data) != size:
        raise EOFError(f"{member.name} ends early")
    return data


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}  # metadata is optional: the image is read without it
    return value if isinstance(value, dict) else {}
