"""Names kinds of files that are taken for images and are not read."""

from __future__ import annotations

_PLUGIN = "an HEIC image, which Pillow reads with a plugin only: convert it first"
_RAW = "a camera's raw file: develop it first"
_KINDS = {
    (4, b"ftyphei"): _PLUGIN, (4, b"ftyphev"): _PLUGIN, (4, b"ftypmif1"): _PLUGIN,
    (4, b"ftypmsf1"): _PLUGIN, (4, b"ftypcrx"): _RAW, (8, b"CR\2\0"): _RAW,
    (0, b"FUJIFILMCCD-RAW"): _RAW, (0, b"IIRO"): _RAW, (0, b"IIRS"): _RAW, (0, b"IIU\0"): _RAW,
    (4, b"ftyp"): "a film", (0, b"\x1aE\xdf\xa3"): "a film",
    (0, b"\xff\x0a"): "a JPEG XL image", (0, b"\0\0\0\x0cJXL "): "a JPEG XL image",
    (0, b"8BPS"): "a Photoshop file", (0, b"\0\0\1\0"): "an icon",
    (0, b"DDS "): "a texture (DDS)", (0, b"v/1\1"): "an OpenEXR image",
    (0, b"%PDF"): "a PDF", (0, b"%!PS"): "PostScript", (0, b"<svg"): "an SVG drawing",
    (0, b"<?xml"): "XML", (0, b"<!DOCTYPE"): "a web page", (0, b"<!doctype"): "a web page",
    (0, b"<html"): "a web page", (0, b"version https://git-lfs"): "a pointer of Git LFS",
    (0, b"PK\3\4"): "a zip file", (0, b"\x1f\x8b"): "a gzip file",
}  # fmt: skip
"""By offset and the bytes there; the first that fits decides."""


def name_of(data: bytes) -> str:
    """Returns what `data` are, by how they begin; empty where that is unknown."""
    start = data[:64]
    return next((n for (at, magic), n in _KINDS.items() if start[at:].startswith(magic)), "")
