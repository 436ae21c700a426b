"""Images of every mode, depth, alpha, orientation carrier and format, with what they show."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.pictures import encoded, picture

WIDTH, HEIGHT = 24, 16
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
TURNED = {
    1: (), 2: (Image.Transpose.FLIP_LEFT_RIGHT,), 3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,), 5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,), 7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}  # fmt: skip


class Case(NamedTuple):
    """A file, what it shows as (H, W, 3) before it is turned, and its orientation."""

    name: str
    data: bytes
    shown: NDArray[np.uint8]
    orientation: int

    @property
    def upright(self) -> Image.Image:
        image = Image.fromarray(self.shown)
        for transposition in TURNED[self.orientation]:
            image = image.transpose(transposition)
        return image


def tiff(orientation: int, kind: str = "short") -> bytes:
    """EXIF with one tag."""
    kinds = {
        "short": (3, 1, struct.pack("<HH", orientation, 0), b""),
        "long": (4, 1, struct.pack("<I", orientation), b""),
        "text": (2, 2, b"%d\0\0\0" % orientation, b""),
        "rational": (5, 1, struct.pack("<I", 26), struct.pack("<II", orientation, 1)),
    }
    number, count, value, rest = kinds[kind]
    entry = struct.pack("<HHI", 0x0112, number, count) + value
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + rest


def xmp(orientation: int, padding: int = 0) -> bytes:
    """An XMP packet, with spaces after what it says."""
    said = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    return said.encode() + b" " * padding


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG's chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _itxt(text: bytes, compressed: bool = False) -> bytes:
    text = zlib.compress(text) if compressed else text
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([compressed]) + b"\0\0\0" + text)


def _raw(orientation: int, compressed: bool = False) -> bytes:
    block = b"Exif\0\0" + tiff(orientation)
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    if compressed:
        return chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(text))
    return chunk(b"tEXt", b"Raw profile type exif\0" + text)


_BROKEN = {
    "bad eXIf": chunk(b"eXIf", b"LoremIps"),
    "bad checksum": chunk(b"eXIf", tiff(1))[:-1] + b"?",
    "truncated sRGB": chunk(b"sRGB", b""),
    "truncated gAMA": chunk(b"gAMA", b"\0"),
    "truncated pHYs": chunk(b"pHYs", b"\0"),
    "truncated cHRM": chunk(b"cHRM", b"\0"),
    "truncated iCCP": chunk(b"iCCP", b""),
    "truncated acTL": chunk(b"acTL", b"\0"),
    "huge zTXt": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20))),
}
"""Chunks that damage or size keeps decoders from reading."""

_PNG_CARRIERS = {
    "eXIf": chunk(b"eXIf", tiff(6)),
    "eXIf as long": chunk(b"eXIf", tiff(6, "long")),
    "eXIf as text": chunk(b"eXIf", tiff(6, "text")),
    "eXIf as rational": chunk(b"eXIf", tiff(6, "rational")),
    "XMP": _itxt(xmp(6)),
    "XMP, compressed": _itxt(xmp(6), True),
    "XMP of 1 MiB": _itxt(xmp(6, 1 << 20)),
    "XMP of 2 MiB, compressed": _itxt(xmp(6, 2 << 20), True),
    "raw profile": _raw(6),
    "raw profile, compressed": _raw(6, True),
    "bad eXIf, XMP": _BROKEN["bad eXIf"] + _itxt(xmp(6)),
    "eXIf 9, XMP": chunk(b"eXIf", tiff(9)) + _itxt(xmp(6)),
    "eXIf 6, XMP 3": _itxt(xmp(3)) + chunk(b"eXIf", tiff(6)),
    "raw profile 6, XMP 3": _itxt(xmp(3)) + _raw(6),
}
"""Chunks that say orientation 6."""


def ramp(depth: int) -> NDArray[np.int64]:
    """(H, W) values of `depth` bits, each many times."""
    grid = np.add.outer(np.arange(HEIGHT) * 3, np.arange(WIDTH))
    return grid * 2741 % (1 << depth) if depth == 16 else grid % (1 << depth)


def _packed(values: NDArray[np.int64], depth: int) -> bytes:
    """(H, W, C) values as a PNG's compressed rows."""
    flat = values.reshape(HEIGHT, -1)
    if depth >= 8:
        rows = [row.astype(">u2" if depth == 16 else "u1").tobytes() for row in flat]
    else:
        bits = (flat[..., None] >> np.arange(depth)[::-1]) & 1
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    return zlib.compress(b"".join(b"\0" + row for row in rows))


def _png(
    values: NDArray[np.int64], depth: int, kind: int, keys: bytes = b"",
    before: bytes = b"", after: bytes = b"",
) -> bytes:  # fmt: skip
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + keys + before
        + chunk(b"IDAT", _packed(values, depth)) + after + chunk(b"IEND", b"")
    )  # fmt: skip


def on_white(
    values: NDArray[np.int64], depth: int, alpha: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """(H, W, C) values with `alpha` (H, W) on white, as (H, W, 3)."""
    eight = values >> 8 if depth == 16 else values * 255 // ((1 << depth) - 1)
    shown = eight * alpha[..., None] + 255 * (1 - alpha[..., None])
    return np.broadcast_to(np.round(shown), (HEIGHT, WIDTH, 3)).astype(np.uint8)


def _plain_pngs() -> Iterator[tuple[str, NDArray[np.int64], int, int, bytes, NDArray[np.uint8]]]:
    """Yields name, values, depth, colour type, chunks before the pixels, and what is shown."""
    opaque = np.ones((HEIGHT, WIDTH))
    for depth in (1, 2, 4, 8, 16):
        grey = ramp(depth)[..., None]
        key = int(grey[3, 5, 0])
        yield f"grey {depth}", grey, depth, 0, b"", on_white(grey, depth, opaque)
        alpha = (grey[..., 0] != key).astype(float)
        trns = chunk(b"tRNS", struct.pack(">H", key))
        yield f"grey {depth} keyed", grey, depth, 0, trns, on_white(grey, depth, alpha)
    for depth in (8, 16):
        rgb = np.stack([ramp(depth), ramp(depth)[::-1], ramp(depth)[:, ::-1]], -1)
        key = rgb[3, 5]
        yield f"rgb {depth}", rgb, depth, 2, b"", on_white(rgb, depth, opaque)
        alpha = (rgb != key).any(-1).astype(float)
        trns = chunk(b"tRNS", struct.pack(">3H", *key))
        yield f"rgb {depth} keyed", rgb, depth, 2, trns, on_white(rgb, depth, alpha)
        half = ramp(depth)[::-1, ::-1]
        top = (1 << depth) - 1
        alpha = (half >> 8) / 255 if depth == 16 else half / top
        both = np.concatenate([rgb, half[..., None]], -1)
        yield f"rgba {depth}", both, depth, 6, b"", on_white(rgb, depth, alpha)
        both = np.stack([ramp(depth), half], -1)
        yield f"grey alpha {depth}", both, depth, 4, b"", on_white(both[..., :1], depth, alpha)
    for depth in (1, 2, 4, 8):
        index = ramp(depth)
        colours = np.random.default_rng(depth).integers(0, 256, (1 << depth, 3))
        alphas = np.random.default_rng(depth).integers(0, 256, 1 << depth)
        plte = chunk(b"PLTE", colours.astype(np.uint8).tobytes())
        shown = colours[index]
        yield f"palette {depth}", index[..., None], depth, 3, plte, on_white(shown, 8, opaque)
        trns = plte + chunk(b"tRNS", alphas.astype(np.uint8).tobytes())
        name = f"palette {depth} alpha"
        yield name, index[..., None], depth, 3, trns, on_white(shown, 8, alphas[index] / 255)


def pngs() -> Iterator[Case]:
    """Each mode with each carrier and each broken chunk, before and after the pixels."""
    for name, values, depth, kind, keys, shown in _plain_pngs():
        yield Case(name, _png(values, depth, kind, keys), shown, 1)
        for extras, orientation in ((_PNG_CARRIERS, 6), (_BROKEN, 1)):
            for label, extra in extras.items():
                data = _png(values, depth, kind, keys, before=extra)
                yield Case(f"{name}, {label}", data, shown, orientation)
                data = _png(values, depth, kind, keys, after=extra)
                yield Case(f"{name}, {label} after", data, shown, orientation)


def _exifs() -> Iterator[tuple[str, bytes, bytes, int]]:
    """Yields name, EXIF, XMP and orientation; empty where there is none."""
    for orientation in range(1, 9):
        yield f"EXIF {orientation}", tiff(orientation), b"", orientation
        yield f"XMP {orientation}", b"", xmp(orientation), orientation
    for kind in ("long", "text", "rational"):
        yield f"EXIF as {kind}", tiff(6, kind), b"", 6
    yield "no EXIF", b"", b"", 1
    yield "bad EXIF", b"LoremIps", b"", 1
    yield "bad EXIF, XMP", b"LoremIps", xmp(6), 6
    yield "EXIF 1, XMP 6", tiff(1), xmp(6), 1
    yield "EXIF 6, XMP 3", tiff(6), xmp(3), 6


def others() -> Iterator[Case]:
    """JPEG, MPO, WebP and AVIF in each of their modes with each carrier."""
    base = picture(WIDTH, HEIGHT)
    clear = base.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(base.size))
    kinds = {
        "JPEG": [base, base.convert("L"), base.convert("CMYK")],
        "MPO": [base],
        "WEBP": [base, clear],
        "AVIF": [base, clear, base.convert("L")],
    }
    for kind, images in kinds.items():
        for image in images:
            for name, exif, packet, orientation in _exifs():
                if kind == "AVIF" and (packet or "EXIF as" in name or name == "bad EXIF"):
                    continue  # says how it is turned in its container alone
                options: dict[str, object] = {"quality": 95} if kind != "WEBP" else {"lossless": 1}
                if kind == "MPO":
                    options |= {"save_all": True, "append_images": [picture(seed=1)]}
                shown = Image.open(io.BytesIO(encoded(image, kind, **options)))
                white = Image.new("RGBA", image.size, "white")
                white.alpha_composite(shown.convert("RGBA"))
                options |= {"exif": b"Exif\0\0" + exif} if exif else {}
                options |= {"xmp": packet} if packet else {}
                data = encoded(image, kind, **options)
                rgb = np.asarray(white.convert("RGB"))
                yield Case(f"{kind} {image.mode}, {name}", data, rgb, orientation)


def plain() -> Iterator[Case]:
    """Formats without a carrier of orientation, in each of their modes; animated where they can."""
    base = picture(WIDTH, HEIGHT)
    clear = base.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(base.size))
    deep = Image.fromarray(ramp(16).astype(np.uint16))
    grey, bits, few = base.convert("L"), base.convert("1"), base.quantize(9)
    kinds: dict[str, list[Image.Image]] = {
        "BMP": [base, grey, bits, few],
        "PPM": [base, grey, bits, deep],
        "JPEG2000": [base, grey, clear, clear.convert("LA"), deep],
        "GIF": [grey, bits, few],
    }
    for kind, images in kinds.items():
        for number, image in enumerate(images):
            white = Image.new("RGBA", image.size, "white")
            eight = image if image is not deep else Image.fromarray((ramp(16) >> 8).astype("u1"))
            white.alpha_composite(eight.convert("RGBA"))
            shown = np.asarray(white.convert("RGB"))
            yield Case(f"{kind} {number}", encoded(image, kind), shown, 1)
            if kind == "GIF":
                more = {"save_all": True, "append_images": [picture(WIDTH, HEIGHT, 1)]}
                yield Case(f"GIF {number}, animated", encoded(image, kind, **more), shown, 1)
    index = np.asarray(few)
    keyed = on_white(np.asarray(few.convert("RGB"), int), 8, (index != index[3, 5]).astype(float))
    opaque = np.asarray(clear)[..., :3]  # the fourth byte of a BMP's pixels is unused
    yield Case("BMP of 32 bits", encoded(clear, "BMP"), opaque, 1)
    yield Case("GIF keyed", encoded(few, "GIF", transparency=int(index[3, 5])), keyed, 1)
