"""Synthetic inputs: tars of JPEGs of noisy gradients, no two with the same bytes."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def write_tars(
    folder: Path, images: int, width: int, height: int, quality: int = 85, per_tar: int = 1000
) -> None:
    """Writes `images` JPEGs into tars of at most `per_tar` in `folder`, unless they exist already.

    All are copies of eight pictures, each with its own comment, so that no two have the same bytes
    and 20,000 take seconds.
    """
    done = folder / "done.json"
    settings = {"images": images, "size": [width, height], "quality": quality, "stats": per_tar}
    if done.exists() and json.loads(done.read_text()) == settings:
        return
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    pictures = [_jpeg(chance, width, height, quality) for _ in range(8)]
    for first in range(0, images, per_tar):
        name = f"{first // per_tar:05d}"
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for number in range(first, min(first + per_tar, images)):
                key = f"{number:09d}"
                picture = pictures[number % len(pictures)]
                data = picture[:2] + _comment(key.encode()) + picture[2:]
                _add(tar, f"{key}.jpg", data)
                _add(tar, f"{key}.txt", f"picture {key}".encode())
        count = min(images - first, per_tar)  # as img2dataset has it
        (folder / f"{name}_stats.json").write_text(json.dumps({"successes": count}))
    done.write_text(json.dumps(settings))


def _jpeg(chance: np.random.Generator, width: int, height: int, quality: int) -> bytes:
    slope = np.linspace(0, 200, width)[None, :, None] * np.linspace(0.3, 1, height)[:, None, None]
    noise = chance.normal(0, 18, (height, width, 3))
    pixels = np.clip(slope + noise + chance.uniform(0, 50, 3), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _comment(text: bytes) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
