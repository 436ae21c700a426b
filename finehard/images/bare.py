"""Image files without what their pixels do not need, since damaged metadata must cost no image."""

from __future__ import annotations

import re
import zlib

from finehard.images.chunks import JPEG, PNG, Part, is_webp, parts

_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_WEBP_KEPT = {b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF"}
_ALPHA_AND_ANIMATION = 0x12
"""Flags of the chunk VP8X that are kept; the others announce profile, EXIF and XMP."""
_AVIF_ITEM = re.compile(rb"(infe[\2\3]...(?:..|....)..)(?:Exif|mime)", re.DOTALL)
"""How an item of an AVIF is declared that holds EXIF or XMP (ISO 14496-12, ItemInfoEntry)."""
_APP0, _APP14, _APP15, _COMMENT = 0xE0, 0xEE, 0xEF, 0xFE


def bare(data: bytes) -> bytes:
    """Returns a JPEG, PNG, WebP or AVIF without metadata; its pixels stay as they are encoded.

    Of the rest, a PNG keeps its palette and transparency, a JPEG the segments that define its
    colour space (JFIF, Adobe). Other data are returned unchanged.
    """
    if data.startswith(PNG):
        return _bare_png(data)
    if is_webp(data):
        return _bare_webp(data)
    if data[4:8] == b"ftyp":
        return _AVIF_ITEM.sub(rb"\1free", data)  # an unknown kind, which is ignored
    return _bare_jpeg(data) if data.startswith(JPEG) else data


def _bare_png(data: bytes) -> bytes:
    return PNG + b"".join(data[p.start : p.end] for p in parts(data) if _is_needed(p, data))


def _is_needed(part: Part, data: bytes) -> bool:
    if part.kind != b"tRNS":
        return part.kind in _PNG_KEPT
    stored = int.from_bytes(data[part.last : part.end], "big")
    grey, rgb = data[25] == 0, data[25] == 2  # the colour type, in IHDR
    length = part.last - part.first
    enough = length >= 2 if grey else length >= 6 if rgb else True
    return enough and zlib.crc32(data[part.start + 4 : part.last]) == stored


def _bare_webp(data: bytes) -> bytes:
    body = b"WEBP"
    for part in parts(data):
        if part.kind not in _WEBP_KEPT:
            continue
        chunk = bytearray(data[part.start : part.end])
        if part.kind == b"VP8X" and len(chunk) > 8:
            chunk[8] &= _ALPHA_AND_ANIMATION
        body += chunk
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _bare_jpeg(data: bytes) -> bytes:
    kept, at = JPEG, 2
    for part in parts(data):
        marker, length = part.kind[0], part.last - part.first
        colour = (marker == _APP0 and length >= 14) or (marker == _APP14 and length >= 12)
        metadata = _APP0 <= marker <= _APP15 or marker == _COMMENT
        if colour or not metadata:
            kept += data[part.start : part.end]
        at = part.end
    return kept + data[at:]
