"""How an image is turned, by its EXIF or XMP, read so that damaged metadata never costs an image.

Where several say it, the first that can be read decides, in this order: EXIF (in a PNG the chunk
eXIf, before or after the pixels, then a raw profile as ImageMagick writes it), XMP.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from PIL import Image

from finehard.images.chunks import JPEG, parts
from finehard.images.tiff import first_page, is_tiff

_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_APP1 = b"\xe1"
_MOST = 16 << 20
"""Most bytes of one text that are uncompressed; an orientation beyond them is not read."""
_IN_XMP = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")
_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1")
_XMP_TEXT = b"XML:com.adobe.xmp"

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


def read_orientation(data: bytes, image: Image.Image) -> int:
    """Returns the orientation of `data`, opened as `image`: 1 to 8, 1 where none is readable.

    The standard has a short integer; text ("6") and rationals (6/1) occur too and are accepted.
    Of AVIF, what the container says counts, which Pillow gives as EXIF.
    """
    if image.format == "AVIF":
        exif: list[bytes] = [image.info.get("exif", b"")]
        xmp: list[bytes] = []
    else:
        exif, xmp = _metadata(data)
    for carrier, read in [(c, _from_exif) for c in exif] + [(c, _from_xmp) for c in xmp]:
        try:
            orientation = read(carrier)
        except Exception:  # damaged EXIF can make the parser fail in any way
            continue
        if orientation:
            return orientation
    return 1


def _from_exif(data: bytes) -> int:
    """Returns the orientation, 0 where there is none of 1 to 8. Raises what Pillow does."""
    exif = Image.Exif()
    exif.load(data)
    value = exif.get(_ORIENTATION, 0)
    orientation = int(value)
    return orientation if 1 <= orientation <= 8 and orientation == float(value) else 0


def _from_xmp(data: bytes) -> int:
    found = _IN_XMP.search(data.replace(b"\0", b""))  # UTF-16 too
    return int(found[1]) if found else 0


def _metadata(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """Returns the blocks of EXIF and of XMP, in order of precedence."""
    if data.startswith(JPEG):
        return _of_jpeg(data)
    if is_tiff(data):
        page = first_page(data)
        return [page.exif], [page.xmp]
    exif: list[bytes] = []
    profiles: list[bytes] = []
    xmp: list[bytes] = []
    for part in parts(data):
        content = data[part.first : part.last] if part.kind in _KINDS else b""
        if part.kind in (b"eXIf", b"EXIF"):
            exif.append(content)
        elif part.kind == b"XMP ":
            xmp.append(content)
        elif content.startswith(_XMP_TEXT):
            xmp += _texts(part.kind, content)
        elif content.startswith(_PROFILES):
            profiles += filter(None, map(_profile, _texts(part.kind, content)))
    return exif + profiles, xmp


_KINDS = (b"eXIf", b"EXIF", b"XMP ", b"tEXt", b"zTXt", b"iTXt")


def _of_jpeg(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """A JPEG's EXIF may be continued in further segments."""
    app1 = [data[p.first : p.last] for p in parts(data) if p.kind == _APP1]
    exif = b"".join(s.removeprefix(_EXIF) for s in app1 if s.startswith(_EXIF))
    xmp = [s for s in app1 if s.startswith(_XMP)]
    return [exif] if exif else [], xmp


def _texts(kind: bytes, content: bytes) -> Iterator[bytes]:
    """Yields the text of a PNG's chunk of `kind`; none where it is damaged."""
    text = content.partition(b"\0")[2]
    compressed = kind == b"zTXt"
    if kind == b"iTXt":
        compressed = text[:1] == b"\1"
        text = text[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif compressed:
        text = text[1:]
    if not compressed:
        yield text
        return
    try:
        yield zlib.decompressobj().decompress(text, _MOST)
    except zlib.error:
        return


def _profile(text: bytes) -> bytes:
    """Returns the bytes of a raw profile: an empty line, its name, their number, then in hex."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""
