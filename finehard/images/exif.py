"""EXIF orientation, read so that damaged metadata never costs an image."""

from __future__ import annotations

from PIL import Image

_ORIENTATION = 0x0112
_HEADER = b"Exif\0\0"
_APP1 = 0xE1
_SEGMENTS = {*range(0xC0, 0xD0), *range(0xDB, 0xFF)}
"""JPEG markers followed by a length, up to the start of the pixels (0xDA)."""

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the transposition that makes an image upright (as in PIL.ImageOps)."""


def read_orientation(image: Image.Image, data: bytes) -> int:
    """Returns the EXIF orientation of `image`, opened from `data`: 1 to 8, 1 where unreadable.

    The standard has a short integer; text ("6") and rationals (6/1) occur too and are accepted.
    """
    try:
        if image.format == "PNG" and "exif" not in image.info:
            # Pillow would decode all pixels to look behind them
            image.info.update(_png_exif(data))
        # the base class's: PNG's own decodes all pixels first
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
        orientation = int(value)
        return orientation if orientation in TRANSPOSE and orientation == float(value) else 1
    except Exception:  # damaged EXIF can make the parser fail in any way
        return 1


def cut_exif(data: bytes) -> tuple[bytes, bytes]:
    """Returns a JPEG without its APP1 segments, and the EXIF data that was in them.

    Any other data is returned unchanged, with no EXIF.
    """
    if data[:2] != b"\xff\xd8":
        return data, b""
    others, exif, at = data[:2], b"", 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] in _SEGMENTS:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != _APP1:
            others += data[at:end]
        elif data[at + 4 : at + 10] == _HEADER:
            exif = data[at + 4 : end]
        at = end
    return others + data[at:], exif


def _png_exif(data: bytes) -> dict[str, bytes]:
    """Returns a PNG's eXIf chunk, wherever in the file it is, as Pillow's `info` has it."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return {"exif": _HEADER + data[at + 8 : at + 8 + length]}
        at += 12 + length
    return {}
