"""One shard: its samples located by a scan of its tar, and read when they are asked for."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, overload

import orjson
from PIL import Image

from finehard.errors import UsageError, error_line
from finehard.images import ANY_SIDE, ImagesConfig, decode
from finehard.io import storage
from finehard.records import Bytes
from finehard.sources.suffixes import IMAGES
from finehard.sources.tar import Damage, members

MAX_JSON = 4 << 20
"""Largest JSON or text member that is read, in bytes; no genuine sample comes near it."""
_IMAGES = tuple(suffix.removeprefix(".") for suffix in IMAGES)
_NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
"""Key and extension of a member's name; webdataset's own expression."""
_FULL_SIZE = 1 << 30


class UnreadableSample(UsageError):
    """A sample that cannot be read; `reason` says why in a few words."""

    def __init__(self, shard: str, key: str, reason: str) -> None:
        super().__init__(
            f"{shard}: sample {key} cannot be read ({reason}); finehard validate lists what is "
            "damaged"
        )
        self.reason = reason


class Entry(NamedTuple):
    """A sample's key and the locations of its members; None for a member that is missing.

    `text` is a plain text beside the image, as others' tars have it.
    """

    key: str
    image: Bytes | None
    json: Bytes | None
    text: Bytes | None = None


class Sample:
    """One sample of a dataset. Its members are read on access, not before.

    `key` is the name that its members share in the shard; `shard` is the shard's path or URI;
    `limits` are those of its image.
    """

    def __init__(
        self,
        shard: str,
        entry: Entry,
        from_index: bool = False,
        limits: ImagesConfig = ANY_SIDE,
    ) -> None:
        self.shard = shard
        self.limits = limits
        self.key = entry.key
        self._entry = entry
        self._from_index = from_index

    @cached_property
    def json(self) -> dict[str, Any]:
        """The annotations, as in schemas/sample.schema.json, read once and not validated.

        Raises `UnreadableSample`.
        """
        try:
            sample = orjson.loads(self._read("json", self._entry.json))
        except ValueError as error:
            raise UnreadableSample(self.shard, self.key, f"its JSON: {error}") from None
        if not isinstance(sample, dict):
            raise UnreadableSample(self.shard, self.key, "its JSON is not an object")
        if self._from_index and sample.get("key") != self.key:
            reason = "the index points to another sample"
            raise UnreadableSample(self.shard, self.key, reason)
        return sample

    @property
    def has_json(self) -> bool:
        """Whether the sample has annotations."""
        return self._entry.json is not None

    @property
    def text(self) -> str:
        """The text of a .txt member, in tars by others; "" if there is none. Raises
        `UnreadableSample`."""
        if self._entry.text is None:
            return ""
        return self._read("text", self._entry.text).decode("utf-8", "replace")

    @property
    def image_place(self) -> Bytes | None:
        """Where the encoded image is in the shard; None if the sample has none."""
        return self._entry.image

    @property
    def image_bytes(self) -> bytes:
        """The encoded image, read anew on each access. Raises `UnreadableSample`."""
        return self._read("image", self._entry.image)

    @property
    def image_at(self) -> Bytes:
        """Where the encoded image is. Raises `UnreadableSample` if there is none."""
        if self._entry.image is None:
            raise UnreadableSample(self.shard, self.key, "it has no image in the shard")
        return self._entry.image

    def image(self, max_side: int | None = None) -> Image.Image:
        """The image as displayed (upright, RGB), its longest side at most `max_side` pixels.

        Raises `UnreadableSample`, and `finehard.images.ImageError` if it cannot be decoded.
        """
        limits = replace(self.limits, max_side=max_side or _FULL_SIZE)
        return decode(self.image_bytes, limits).pixels

    def _read(self, member: str, location: Bytes | None) -> bytes:
        if location is None:
            raise UnreadableSample(self.shard, self.key, f"it has no {member} in the shard")
        if member != "image" and location.length > MAX_JSON:
            reason = f"its {member.replace('json', 'JSON')} has {location.length} bytes"
            raise UnreadableSample(self.shard, self.key, reason)
        try:
            return storage.read(location)
        except (OSError, EOFError) as error:
            reason = error_line(error, 160)
            raise UnreadableSample(self.shard, self.key, reason) from None


class ShardSamples(Sequence[Sample]):
    """The samples of one shard in the order of its tar; holds their locations only.

    `damage` describes the first stretch of the tar that could not be read; empty if there is none,
    or if the locations are from the index.
    """

    def __init__(
        self,
        shard: str,
        entries: Sequence[Entry],
        damage: str = "",
        from_index: bool = False,
        limits: ImagesConfig = ANY_SIDE,
    ) -> None:
        self.uri = shard
        self.damage = damage
        self._entries = entries
        self._from_index = from_index
        self._limits = limits

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, number: int) -> Sample: ...
    @overload
    def __getitem__(self, number: slice) -> ShardSamples: ...
    def __getitem__(self, number: int | slice) -> Sample | ShardSamples:
        """Sample `number`. Each access makes a new `Sample`, so that none stays in memory."""
        if isinstance(number, slice):
            entries = self._entries[number]
            return ShardSamples(self.uri, entries, self.damage, self._from_index, self._limits)
        return Sample(self.uri, self._entries[number], self._from_index, self._limits)

    def keys(self) -> Iterator[str]:
        """The samples' keys, in order."""
        return (entry.key for entry in self._entries)


def scan_shard(uri: str, path: str | None = None, limits: ImagesConfig = ANY_SIDE) -> ShardSamples:
    """Locates the samples of the tar at `uri` by its headers; `path` is a local copy to read,
    `limits` are those of their images.

    Members are grouped as webdataset does it: consecutive members whose names are equal up to the
    first dot of the file name are one sample. After damage the scan goes on at the next valid
    header. Raises `OSError` if the tar cannot be opened.
    """
    path = path or uri
    samples: list[tuple[str, dict[str, Bytes]]] = []
    damage = ""
    with storage.open_read(path) as file:
        for member in members(file, 0, sys.maxsize):
            if isinstance(member, Damage):
                damage = damage or f"at byte {member.offset}, {member.detail}"
                continue
            name = _NAME.match(member.name)
            if name is None or not member.regular:
                continue
            key, extension = name.groups()
            if not samples or samples[-1][0] != key:
                samples.append((key, {}))
            location = Bytes(path, member.offset_data, member.size)
            samples[-1][1][extension.lower()] = location
    entries = [
        Entry(
            key,
            next((parts[i] for i in _IMAGES if i in parts), None),
            parts.get("json"),
            parts.get("txt"),
        )
        for key, parts in samples
    ]
    return ShardSamples(uri, entries, damage, limits=limits)
