"""Tar shards in webdataset's layout, as img2dataset writes them: {key}.jpg, {key}.json, {key}.txt.

The members of a sample are adjacent and share the name up to the first dot. Nothing is unpacked to
disk, and of each sample only one image, .json and .txt are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import tee
from typing import Any, BinaryIO

from finehard.errors import error_line
from finehard.images import SUFFIXES
from finehard.io import storage
from finehard.records import Bytes, Record, Reject
from finehard.rejects import REASONS
from finehard.sources.source import (
    Loaded,
    SourceConfig,
    SourceFile,
    Unit,
    clean_text,
    cuts,
    safe_key,
    unit_id,
    wanted,
)
from finehard.sources.tar import BLOCK, Damage, Member, members

suffixes = (".tar",)
IMAGES = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
MAX_SIDE_FILE = 4 << 20
"""Maximum number of bytes read of a .json or .txt member."""
_MAX_PARTS = 64
"""Maximum members of one sample; a usual sample has three."""


@dataclass
class _Group:
    """Adjacent members that share a stem, by suffix; or a damaged stretch."""

    stem: str
    offset: int
    parts: dict[str, Member] = field(default_factory=dict)
    damage: Damage | None = None

    @property
    def image(self) -> Member | None:
        """The image; of several, the one whose suffix comes first in `IMAGES`."""
        return next((self.parts[s] for s in IMAGES if s in self.parts), None)


def _stem_and_suffix(name: str) -> tuple[str, str]:
    while name.startswith("./"):
        name = name[2:]
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return folder + slash + stem, suffix.lower()


def _runs(file: BinaryIO, start: int, stop: int) -> Iterator[_Group]:
    run: _Group | None = None
    for item in members(file, start, stop):
        stem, suffix = _stem_and_suffix(item.name)
        if isinstance(item, Damage):
            if run:
                yield run
            yield _Group(stem, item.offset, damage=item)
            run = None
            continue
        # a repeated name is another sample of that name
        if run and (run.stem != stem or suffix in run.parts or len(run.parts) >= _MAX_PARTS):
            yield run
            run = None
        run = run or _Group(stem, item.offset)
        run.parts[suffix] = item
    if run:
        yield run


def _groups(file: BinaryIO, start: int, stop: int) -> Iterator[_Group]:
    """Yields samples and damaged stretches, a damaged stretch with the rest of its sample."""
    held: _Group | None = None
    for run in _runs(file, start, stop):
        if held and not held.image and not run.image and bool(held.damage) != bool(run.damage):
            bare, damaged = (run, held) if held.damage else (held, run)
            if damaged.stem in ("", bare.stem):
                held = _Group(bare.stem, held.offset, bare.parts, damaged.damage)
                continue
        if held:
            yield held
        held = run
    if held:
        yield held


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
    first: str | None = None
    ids: dict[str, int] = {}

    def unit(stop: int) -> Unit:
        name = first or ""
        ids[name] = ids.get(name, 0) + 1  # a stem can occur again, a unit's id must not
        again = f"~{ids[name]}" if ids[name] > 1 else ""
        return Unit(unit_id(file, name + again), file, start, stop, samples=samples)

    try:
        with storage.open_read(file.uri) as opened:
            groups, same = tee(_groups(opened, 0, file.size))
            stems = (None if group.damage else group.stem for group in same)
            for group, cut in zip(groups, cuts(stems, config.unit_size), strict=True):
                if cut:
                    yield unit(group.offset)
                    start, samples, first = group.offset, 0, None
                first = group.stem if first is None else first
                samples += 1
    except OSError:
        samples += 1  # `read` fails too, which makes a reject
    yield unit(file.size)


def position(source: str) -> int | None:
    """Returns the offset in the tar that `source` names, in bytes."""
    offset = source.rpartition("@")[2]
    return int(offset) if offset.isdecimal() else None


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """Yields the unit's samples in order. A damaged stretch is a reject that names the byte."""
    uri = unit.file.uri
    try:
        with storage.open_read(uri) as opened:
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
    named = group.image or next(iter(group.parts.values()))
    return f"{uri}#{named.name}@{named.offset_data}"


def _sample(file: BinaryIO, unit: Unit, group: _Group, config: SourceConfig) -> Loaded | Reject:
    key = safe_key(group.stem)
    source = _source(unit.file.uri, group)

    def rejected(reason: str, detail: str = "") -> Reject:
        return Reject(key, source, "source", reason, detail[:300] or REASONS[reason])

    if group.damage:
        key = key if group.stem else safe_key(f"{unit.file.name}_{group.damage.offset}")
        where = f"at byte {group.damage.offset} of {unit.file.size}"
        return rejected(group.damage.reason, f"{where}: {group.damage.detail}")
    parts = list(group.parts.values())
    unsafe = next((m for m in parts if not m.regular or _leaves(m.name)), None)
    if unsafe is not None:
        return rejected("unsafe_member", unsafe.name)
    image = group.image
    if image is None:
        return rejected("missing_image", "only " + ", ".join(m.name for m in parts))
    if image.size > config.max_image_bytes:
        return rejected("image_file_too_large", f"{image.size} bytes")
    text, meta = b"", {}
    try:
        data = _data(file, image, image.size)
        if "txt" in group.parts:
            text = _data(file, group.parts["txt"], MAX_SIDE_FILE)
        if "json" in group.parts:
            meta = _json(_data(file, group.parts["json"], MAX_SIDE_FILE))
    except (OSError, EOFError) as error:
        return rejected("unreadable_image", str(error))
    record = Record(
        key=key,
        source=source,
        unit=unit.id,
        image=Bytes(unit.file.uri, image.offset_data, image.size),
        sha256="",
        alt_text=clean_text(text.decode("utf-8", "replace")) or clean_text(meta.get("caption")),
        url=clean_text(meta.get("url")),
        license=clean_text(meta.get("license")),
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
