"""A worker process's cache of images in work: each is read once and decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image

from finehard.images import Decoded, ImagesConfig, as_sent, cut_out, decode, jpeg
from finehard.records import WHOLE, Box, Record


class _CachedImage:
    """One image's bytes, pixels and views; `lock` is held while they are made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data: bytes | None = None
        self.decoded: Decoded | None = None
        self.views: dict[Box, bytes] = {}
        self.weight = 0

    def weigh(self) -> int:
        """Returns the approximate size in memory, in bytes."""
        pixels = self.decoded.pixels.width * self.decoded.pixels.height * 3 if self.decoded else 0
        return len(self.data or b"") + pixels + sum(map(len, self.views.values()))


class Images:
    """Images by record, the least recently used dropped beyond `images.cache_bytes`.

    `fetch` reads a record's bytes. One instance serves all stages of a process; thread-safe.
    """

    def __init__(self, config: ImagesConfig, fetch: Callable[[Record], bytes]) -> None:
        self.config = config
        self.decodes = 0
        self._fetch = fetch
        self._images: OrderedDict[str, _CachedImage] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()  # acquired inside a `_CachedImage.lock`, never around one

    def put(self, record: Record, data: bytes) -> None:
        """Caches the bytes of `record`, just read, so that no stage reads them again."""
        cached = self._entry(record)
        with cached.lock:
            cached.data = data
            self._weigh(record.source, cached)

    def pixels(self, record: Record) -> Image.Image:
        """Returns the decoded image. Raises `ImageError`, `OSError` or `EOFError`."""
        cached = self._entry(record)
        with cached.lock:
            return self._decoded(record, cached).pixels

    def data(self, record: Record) -> bytes:
        """Returns the image's bytes. Raises `OSError` or `EOFError`."""
        cached = self._entry(record)
        with cached.lock:
            return self._bytes(record, cached)

    def views(self, record: Record, boxes: tuple[Box, ...]) -> list[bytes]:
        """Returns JPEG bytes of the parts of the image in `boxes`. Raises as `pixels`."""
        cached = self._entry(record)
        with cached.lock:
            decoded = self._decoded(record, cached)
            for box in boxes:
                if box not in cached.views:
                    cached.views[box] = self._view(cached, decoded, box)
            self._weigh(record.source, cached)
            return [cached.views[box] for box in boxes]

    def drop(self, source: str) -> None:
        """Drops an image that has passed all stages."""
        with self._lock:
            cached = self._images.pop(source, None)
            self._held -= cached.weight if cached else 0

    def _entry(self, record: Record) -> _CachedImage:
        with self._lock:
            cached = self._images.setdefault(record.source, _CachedImage())
            self._images.move_to_end(record.source)
            return cached

    def _view(self, cached: _CachedImage, decoded: Decoded, box: Box) -> bytes:
        quality = self.config.jpeg_quality
        if box != WHOLE:
            return jpeg(cut_out(decoded.pixels, box, self.config), quality)
        whole = as_sent(decoded.pixels, self.config.max_side, self.config)
        if whole is decoded.pixels and decoded.sendable and cached.data is not None:
            return cached.data
        return jpeg(whole, quality)

    def _decoded(self, record: Record, cached: _CachedImage) -> Decoded:
        if cached.decoded is None:
            cached.decoded = decode(self._bytes(record, cached), self.config)
            with self._lock:
                self.decodes += 1
            self._weigh(record.source, cached)
        return cached.decoded

    def _bytes(self, record: Record, cached: _CachedImage) -> bytes:
        if cached.data is None:
            cached.data = self._fetch(record)
            self._weigh(record.source, cached)
        return cached.data

    def _weigh(self, source: str, cached: _CachedImage) -> None:
        """Updates the total by what `cached` now weighs, and drops the least recently used."""
        weight = cached.weigh()
        with self._lock:
            if self._images.get(source) is not cached:
                return  # dropped meanwhile; its user still has a reference
            self._held += weight - cached.weight
            cached.weight = weight
            while self._held > self.config.cache_bytes and len(self._images) > 1:
                _, oldest = self._images.popitem(last=False)
                self._held -= oldest.weight
