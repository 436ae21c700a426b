"""The images a worker process has in work: read once, decoded once, held while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image

from finehard.images import Decoded, ImagesConfig, cut_out, decode, jpeg
from finehard.records import WHOLE, Box, Record


class _Kept:
    """What is held of one image. `lock` is held while it is filled; `weight` is in bytes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data: bytes | None = None
        self.decoded: Decoded | None = None
        self.views: dict[Box, bytes] = {}
        self.weight = 0

    def weigh(self) -> int:
        """Bytes of memory, about."""
        pixels = self.decoded.pixels.width * self.decoded.pixels.height * 3 if self.decoded else 0
        return len(self.data or b"") + pixels + sum(map(len, self.views.values()))


class Images:
    """The images in work: read where the record says, decoded once, kept while there is room.

    `fetch` reads a record's bytes; one instance serves all stages of a process, from any thread.
    """

    def __init__(self, config: ImagesConfig, fetch: Callable[[Record], bytes]) -> None:
        self.config = config
        self.decodes = 0
        self._fetch = fetch
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()  # taken inside a `_Kept.lock`, never around one

    def put(self, record: Record, data: bytes) -> None:
        """Keeps the bytes of `record`, just read, so that no stage reads them again."""
        kept = self._entry(record)
        with kept.lock:
            kept.data = data
            self._weigh(record.source, kept)

    def pixels(self, record: Record) -> Image.Image:
        """The decoded image (see `decode`). Raises `ImageError`, `OSError` or `EOFError`."""
        kept = self._entry(record)
        with kept.lock:
            return self._decoded(record, kept).pixels

    def views(self, record: Record, boxes: tuple[Box, ...]) -> list[bytes]:
        """JPEG bytes of the parts of the image in `boxes`, in their order. Raises as `pixels`."""
        kept = self._entry(record)
        with kept.lock:
            decoded = self._decoded(record, kept)
            for box in boxes:
                if box not in kept.views:
                    kept.views[box] = self._view(kept, decoded, box)
            self._weigh(record.source, kept)
            return [kept.views[box] for box in boxes]

    def drop(self, source: str) -> None:
        """Forgets an image that has gone through all stages."""
        with self._lock:
            kept = self._kept.pop(source, None)
            self._held -= kept.weight if kept else 0

    def _entry(self, record: Record) -> _Kept:
        with self._lock:
            kept = self._kept.setdefault(record.source, _Kept())
            self._kept.move_to_end(record.source)
            return kept

    def _view(self, kept: _Kept, decoded: Decoded, box: Box) -> bytes:
        quality = self.config.jpeg_quality
        if box != WHOLE:
            return jpeg(cut_out(decoded.pixels, box, self.config), quality)
        if decoded.sendable and kept.data is not None:
            return kept.data
        return jpeg(decoded.pixels, quality)

    def _decoded(self, record: Record, kept: _Kept) -> Decoded:
        if kept.decoded is None:
            if kept.data is None:
                kept.data = self._fetch(record)
            kept.decoded = decode(kept.data, self.config)
            with self._lock:
                self.decodes += 1
            self._weigh(record.source, kept)
        return kept.decoded

    def _weigh(self, source: str, kept: _Kept) -> None:
        """Books what `kept` now weighs, and lets go of what was used longest ago."""
        weight = kept.weigh()
        with self._lock:
            if self._kept.get(source) is not kept:
                return  # dropped meanwhile: whoever still uses it holds it
            self._held += weight - kept.weight
            kept.weight = weight
            while self._held > self.config.cache_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._held -= oldest.weight
