"""Tar shards in webdataset's layout, as img2dataset writes them: {key}.jpg + {key}.json + {key}.txt.

Members that belong together follow each other and share the name up to the first dot. Nothing is
unpacked to disk, and no member but images, .json and .txt is read.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from typing import Any, BinaryIO

from finehard import storage
from finehard.digest import number
from finehard.records import Bytes, Record, Reject
from finehard.rejects import REASONS
from finehard.sources.source import (
    Loaded,
    SourceConfig,
    SourceFile,
    Unit,
    clean_text,
    safe_key,
    unit_id,
)

IMAGES = ("jpg", "jpeg", "png", "webp")
MAX_SIDE_FILE = 4 << 20
"""Bytes of a .json or .txt member that are read at most."""
_MAX_HEADER = 1 << 20  # a PAX header asks for as much memory as it likes


class _Bounded(io.RawIOBase):
    """A seekable file that refuses reads of more than `_MAX_HEADER` bytes: headers are short."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {n} bytes")
        return self._file.read(n)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Damaged(Exception):
    """The tar cannot be read on from byte `offset`."""

    def __init__(self, reason: str, offset: int, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.offset = offset


def _members(file: BinaryIO, start: int, stop: int) -> Iterator[tarfile.TarInfo]:
    """The members whose headers lie in [start, stop). Raises `_Damaged`."""
    file.seek(0, io.SEEK_END)
    size = file.tell()
    file.seek(start)
    offset = start
    try:
        tar = tarfile.open(mode="r:", fileobj=_Bounded(file))  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            tar.members = []  # it would keep all of them
            offset = member.offset
            if offset >= stop:
                return
            if member.isreg() and member.offset_data + member.size > size:
                raise _Damaged("truncated_archive", offset, f"{member.name} ends after the file")
            yield member
            offset = tar.offset
        file.seek(tar.offset)
        rest = file.read(512)
    except (tarfile.TarError, OSError, ValueError, OverflowError, EOFError) as error:
        truncated = "unexpected end" in str(error) or "truncated" in str(error)
        reason = "truncated_archive" if truncated else "unreadable_archive"
        raise _Damaged(reason, offset, " ".join(str(error).split())[:120]) from None
    if rest.strip(b"\0") and tar.offset < stop:
        raise _Damaged("unreadable_archive", tar.offset, "a damaged header")


def _stem(member: tarfile.TarInfo) -> str:
    folder, _, name = member.name.rpartition("/")
    return f"{folder}/{name.split('.', 1)[0]}" if folder else name.split(".", 1)[0]


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Cuts the tar at members whose key's hash says so."""
    start, held, first = 0, 0, None
    try:
        with storage.open_read(file.uri) as opened:
            for stem, members in groupby(_members(opened, 0, file.size), _stem):
                offset = next(members).offset
                if first is None:
                    first = stem
                elif held >= 4 * config.unit_size or number(stem) % config.unit_size == 0:
                    yield Unit(unit_id(file, first), file, start, offset)
                    start, held, first = offset, 0, stem
                held += 1
    except (_Damaged, OSError):
        pass  # `read` comes upon it again, and tells
    yield Unit(unit_id(file, first or ""), file, start, file.size)


def count(file: SourceFile, config: SourceConfig) -> int:
    """Samples in the tar: what img2dataset's statistics beside it say, else counted by header."""
    try:
        stats = json.loads(storage.read_all(file.uri.removesuffix(".tar") + "_stats.json"))
        return max(0, int(stats["successes"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = 0
    try:
        with storage.open_read(file.uri) as opened:
            for _ in groupby(_members(opened, 0, file.size), _stem):
                found += 1
    except (_Damaged, OSError):
        found += 1
    return found


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """The unit's samples in order. A broken archive ends in one reject that names the byte."""
    uri = unit.file.uri
    try:
        with storage.open_read(uri) as opened:
            members = _members(opened, unit.start, unit.stop)
            for stem, group in groupby(members, _stem):
                yield _sample(opened, unit, stem, list(group), config)
    except _Damaged as damage:
        key = safe_key(f"{unit.file.name}_{damage.offset}")
        detail = f"at byte {damage.offset} of {unit.file.size}: {damage}"
        yield Reject(key, f"{uri}#@{damage.offset}", "source", damage.reason, detail)
    except OSError as error:
        detail = " ".join(str(error).split())[:200]
        yield Reject(safe_key(unit.file.name), uri, "source", "unreadable_archive", detail)


def _sample(
    file: BinaryIO, unit: Unit, stem: str, group: list[tarfile.TarInfo], config: SourceConfig
) -> Loaded | Reject:
    key = safe_key(stem)
    by_suffix: dict[str, tarfile.TarInfo] = {}
    for member in group:
        suffix = member.name.rpartition("/")[2].partition(".")[2].lower()
        by_suffix.setdefault(suffix, member)
    source = f"{unit.file.uri}#{group[0].name}@{group[0].offset_data}"

    def rejected(reason: str, detail: str = "") -> Reject:
        return Reject(key, source, "source", reason, detail or REASONS[reason])

    unsafe = next((m for m in group if not m.isreg() or _leaves(m.name)), None)
    if unsafe is not None:
        return rejected("unsafe_member", unsafe.name[:200])
    image = next((by_suffix[s] for s in IMAGES if s in by_suffix), None)
    if image is None:
        return rejected("missing_image", "only " + ", ".join(m.name for m in group)[:200])
    source = f"{unit.file.uri}#{image.name}@{image.offset_data}"
    if image.issparse() or image.size > config.max_image_bytes:
        return rejected("image_file_too_large", f"{image.size} bytes")
    try:
        data = _data(file, image)
        text = _data(file, by_suffix["txt"]) if "txt" in by_suffix else b""
        meta = _json(_data(file, by_suffix["json"])) if "json" in by_suffix else {}
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


def _data(file: BinaryIO, member: tarfile.TarInfo) -> bytes:
    size = member.size
    if member.name.endswith((".txt", ".json")):
        size = min(size, MAX_SIDE_FILE)
    file.seek(member.offset_data)
    data = file.read(size)
    if len(data) != size:
        raise EOFError(f"{member.name} ends early")
    return data


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}  # what came with the image is a bonus, never a reason to lose it
    return value if isinstance(value, dict) else {}
