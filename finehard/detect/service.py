"""What a detector's server and its clients agree on: paths, fields, and whose boxes they are.

    GET  /identity  which detector this is, and its limits
    GET  /health    200, or 503 while the server stops
    POST /detect    multipart/form-data: `image`, a file's bytes; `phrases`, a JSON list;
                    `max_side`, to which the image is reduced; and `expected`, the digest of the
                    description that the boxes are wanted of, which may be left out
                    -> {"boxes": [[phrase, [x1, y1, x2, y2], score], ...]}

An error is {"error": "one line"}. The file's bytes are sent, not its pixels: at 1024 x 768 px these
are 20 times as many (2,359 KB, the JPEG 115), a PNG of them costs the client 79 ms of CPU, and the
second decode costs the server 4.5 ms (`bench.detector_service`). Both sides must decode alike, so
the description names the decoder.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import PIL
from PIL import features

from finehard import __version__
from finehard.digest import digest, source_hash

IDENTITY, HEALTH, DETECT = "/identity", "/health", "/detect"

SERVED = "the detector"
"""What its endpoints serve, in messages."""

RETRY_AFTER_S = 1
"""Seconds after which a client that was turned away asks again."""


def description(identity: dict[str, Any]) -> dict[str, Any]:
    """Returns all that decides the boxes of a detector with `identity`, in this process."""
    return {"detector": identity, "decoder": decoder(), "code": _code()}


def description_digest(identity: dict[str, Any]) -> str:
    """Returns the digest of `description`."""
    return digest(description(identity))


@cache
def decoder() -> str:
    """Returns the versions of what decodes images."""
    jpeg = features.version("libjpeg_turbo") or features.version("jpg")
    return f"Pillow {PIL.__version__}, libjpeg {jpeg}, WebP {features.version('webp')}"


@cache
def _code() -> dict[str, str]:
    """Returns the version of finehard, and a hash of its sources that decode and detect."""
    package = Path(__file__).parents[1]
    folders = ("images", "detect")
    return {
        "finehard": __version__,
        "sources": digest([source_hash(package / folder) for folder in folders]),
    }
