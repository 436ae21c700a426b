"""File name endings by which files of an input are recognised, lower case, with the dot."""

from __future__ import annotations

from finehard.images import SUFFIXES

_MORE = (
    ".jpe", ".jfif", ".pjpeg", ".pjp", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif",
    ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".ico", ".tga", ".ppm", ".pgm", ".pbm", ".pnm",
    ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
)  # fmt: skip
IMAGES = tuple(dict.fromkeys((*SUFFIXES, *_MORE)))
"""Of images. What an image is, and whether it can be read, its bytes decide."""

TARS = (
    ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz",
)  # fmt: skip
"""Of tars. Whether one is compressed its bytes decide."""

LISTS = (".jsonl", ".ndjson", ".csv", ".tsv")
"""Of lists of images."""

_STARTS = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"\xff\x0a",
    b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ",
)  # fmt: skip
LOOKED_AT = 16
"""How many bytes of a file `is_image` needs."""


def is_image(start: bytes) -> bool:
    """Returns whether a file that begins with `start` is an image, for files without a suffix."""
    boxed = start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1")
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return start.startswith(_STARTS) or boxed or webp
