"""TIFFs of every depth, kind of pixel, byte order and carrier of orientation, with their truth."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.images.grid import HEIGHT, WIDTH, Case, on_white, ramp, xmp

_SHORT, _LONG, _ASCII, _RATIONAL, _BYTES = 3, 4, 2, 5, 1


def _file(
    entries: dict[int, tuple[int, list[int] | bytes]], pixels: bytes, order: str, big: bool
) -> bytes:
    """One page; `entries` are type and values by tag."""
    link, count, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    entries = {**entries, 273: (_LONG, [0]), 279: (_LONG, [len(pixels)])}
    link_size, start = struct.calcsize("<" + link), 16 if big else 8
    rest = start + struct.calcsize("<" + count) + size * len(entries) + link_size
    room = sum(len(_packed(k, v, order)) + 1 & ~1 for k, v in entries.values())
    entries[273] = (_LONG, [rest + room])  # the pixels are last
    table, blobs = b"", b""
    for tag, (kind, values) in sorted(entries.items()):
        packed = _packed(kind, values, order)
        number = len(packed) // {_SHORT: 2, _LONG: 4, _RATIONAL: 8}.get(kind, 1)
        where = packed.ljust(link_size, b"\0")
        if len(packed) > link_size:
            where = struct.pack(order + link, rest + len(blobs))
            blobs += packed + bytes(len(packed) % 2)
        table += struct.pack(order + "HH" + link, tag, kind, number) + where
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    magic += struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start)
    page = struct.pack(order + count, len(entries)) + table + struct.pack(order + link, 0)
    return (magic + page + blobs).ljust(rest + room, b"\0") + pixels


def _packed(kind: int, values: list[int] | bytes, order: str) -> bytes:
    if isinstance(values, bytes):
        return values
    letter = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _BYTES: "B"}[kind]
    return struct.pack(f"{order}{len(values)}{letter}", *values)


def _rows(values: NDArray[np.int64], depth: int, order: str) -> bytes:
    flat = values.reshape(HEIGHT, -1)
    if depth >= 8 and depth != 12:
        return flat.astype(f"{order}u2" if depth == 16 else "u1").tobytes()
    bits = (flat[..., None] >> np.arange(depth)[::-1]) & 1
    return b"".join(np.packbits(row.reshape(-1)).tobytes() for row in bits)


def _kinds(order: str) -> Iterator[tuple[str, NDArray[np.int64], int, dict, NDArray[np.uint8]]]:
    """Yields name, values, depth, entries and what is shown."""
    opaque = np.ones((HEIGHT, WIDTH))
    for depth in (1, 2, 4, 8, 12, 16) if order == "<" else (1, 2, 4, 8, 16):
        grey = ramp(depth)[..., None]
        shown = grey >> 4 if depth == 12 else grey
        right = on_white(shown, 8 if depth == 12 else depth, opaque)
        yield f"grey {depth}", grey, depth, {262: (_SHORT, [1])}, right
        if depth < 12 or (depth == 16 and order == "<"):
            inverted = (1 << depth) - 1 - grey
            yield f"white is zero {depth}", inverted, depth, {262: (_SHORT, [0])}, right
    half = ramp(8)[::-1, ::-1]
    for depth in (8, 16):
        rgb = np.stack([ramp(depth), ramp(depth)[::-1], ramp(depth)[:, ::-1]], -1)
        tags = {262: (_SHORT, [2])}
        yield f"rgb {depth}", rgb, depth, tags, on_white(rgb, depth, opaque)
        alpha = half if depth == 8 else half * 257
        both = np.concatenate([rgb, alpha[..., None]], -1)
        tags |= {338: (_SHORT, [2])}
        yield f"rgba {depth}", both, depth, tags, on_white(rgb, depth, half / 255)
        spare = {**tags, 338: (_SHORT, [0])}
        yield f"rgb and one more {depth}", both, depth, spare, on_white(rgb, depth, opaque)
    grey = ramp(8)[..., None]
    tags = {262: (_SHORT, [1]), 338: (_SHORT, [2])}
    both = np.concatenate([grey, half[..., None]], -1)
    yield "grey alpha", both, 8, tags, on_white(grey, 8, half / 255)
    ink = np.stack([ramp(8), ramp(8)[::-1], ramp(8)[:, ::-1], ramp(8) // 4], -1)
    paper = np.clip((255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255, 0, 255)
    yield "cmyk", ink, 8, {262: (_SHORT, [5])}, np.round(paper).astype(np.uint8)
    for depth in (1, 2, 4, 8):
        index = ramp(depth)
        colours = np.random.default_rng(depth).integers(0, 256, (1 << depth, 3))
        table = (colours.T.reshape(-1) * 257).tolist()
        tags = {262: (_SHORT, [3]), 320: (_SHORT, table)}
        yield f"palette {depth}", index[..., None], depth, tags, colours[index].astype(np.uint8)


def tiffs() -> Iterator[Case]:
    """Each kind in each byte order with each carrier of orientation; BigTIFF as Pillow reads it,
    in one byte order."""
    carriers: dict[str, tuple[int, dict]] = {
        "none": (1, {}),
        **{f"tag {o}": (o, {274: (_SHORT, [o])}) for o in range(1, 9)},
        "tag as long": (6, {274: (_LONG, [6])}),
        "tag 9": (1, {274: (_SHORT, [9])}),
        "XMP": (6, {700: (_BYTES, xmp(6))}),
        "tag 6, XMP 3": (6, {274: (_SHORT, [6]), 700: (_BYTES, xmp(3))}),
        "tag 0, XMP 6": (6, {274: (_SHORT, [0]), 700: (_BYTES, xmp(6))}),
        "tag as text": (6, {274: (_ASCII, b"6\0")}),
        "tag as rational": (6, {274: (_RATIONAL, [6, 1])}),
        "bad resolution": (1, {282: (_ASCII, b"x\0"), 283: (_RATIONAL, [1, 0])}),
        "bad profile": (1, {34675: (_BYTES, b"no profile")}),
        "bad EXIF": (1, {34665: (_LONG, [1 << 30])}),
        "preview elsewhere": (1, {330: (_LONG, [8])}),
    }
    for order, big in (("<", False), (">", False), ("<", True)):
        for name, values, depth, tags, shown in _kinds(order):
            samples = values.shape[-1]
            common = {256: (_SHORT, [WIDTH]), 257: (_SHORT, [HEIGHT]), 259: (_SHORT, [1]),
                      258: (_SHORT, [depth] * samples), 277: (_SHORT, [samples]),
                      278: (_SHORT, [HEIGHT])}  # fmt: skip
            for label, (orientation, more) in carriers.items():
                entries = {**common, **tags, **more}
                data = _file(entries, _rows(values, depth, order), order, big)
                kind = f"{'Big' if big else ''}TIFF {order} {name}, {label}"
                yield Case(kind, data, shown, orientation)
