"""Fetches the detector's weights before a build, and checks them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import NamedTuple

from finehard.detect.config import BACKENDS, DetectConfig
from finehard.detect.detector import load_detector
from finehard.errors import FinehardError

URL = "https://github.com/ultralytics/assets/releases/download/v8.4.0/{}"
"""Where ultralytics publishes weights (AGPL-3.0)."""
SHA256 = {
    "yolov8s-worldv2.pt": "9b2c17ab6124a913e9b3a5c170617920d91b0f01111a8479da69f00e2cf27792",
    "yolov8x-worldv2.pt": "41e771bfbbb8894dd857f3fef7cac3b3578dffd49fd3547101efa6a606a02a0e",
}
"""Of the published files, as others measured them (of the x model, three independent projects,
in releases v8.3.0 and v8.4.0)."""
_TIMEOUT_S = 60.0


class Needed(NamedTuple):
    """What a detector's weights come from: a .pt file (None: none is needed), and hub names."""

    file: Path | None
    hub: tuple[str, ...]


def needed(config: DetectConfig) -> Needed:
    """Returns what has to be fetched for `config`. Local models, and a user's detector, need
    nothing; a .pt file that is there is only to be checked."""
    if config.backend not in BACKENDS:
        return Needed(None, ())
    names, file = [config.model], None
    if config.backend == "yolo_world":
        names = [config.text_model]
        file = Path(config.model) if config.model.endswith(".pt") else None
    return Needed(file, tuple(name for name in names if not os.path.exists(name)))


def fetch_weights(config: DetectConfig) -> list[str]:
    """Fetches what `config` needs; returns a line on each file and model.

    A published .pt file is checked by its SHA-256. Models of the Hub go to its cache, by loading
    the detector once, on the CPU. Raises `FinehardError`, which names what to download to where.
    """
    file, hub = needed(config)
    done = [] if file is None else [_fetch_file(file)]
    if hub:
        try:
            load_detector(dataclasses.replace(config, device="cpu", threads=None))
        except FinehardError as error:
            raise FinehardError(
                f"{error} To fetch it elsewhere: run the same command where the Hub is in reach, "
                "and copy its cache (HF_HOME, or ~/.cache/huggingface) to this machine"
            ) from error
        done += [f"{name}: in the Hub's cache" for name in hub]
    return done


def _fetch_file(file: Path) -> str:
    expected = SHA256.get(file.name)
    if file.is_file():
        if expected is not None and _sha256(file) != expected:
            raise FinehardError(
                f"detect.model: {file} is not the published file of this name (SHA-256 "
                f"{expected}): delete it to fetch it again, or give your own another name"
            )
        return f"{file}: there{'' if expected is None else ', SHA-256 as published'}"
    if expected is None:
        raise FinehardError(
            f"detect.model: there is no file {str(file)!r}, and finehard can fetch only "
            f"{', '.join(SHA256)}: put it there"
        )
    url = URL.format(file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.") as partial:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
                shutil.copyfileobj(response, partial)
            partial.flush()
            if (found := _sha256(Path(partial.name))) != expected:
                raise OSError(f"its SHA-256 is {found}")
            shutil.copyfile(partial.name, file)
    except OSError as error:  # urllib's are too
        file.unlink(missing_ok=True)
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise FinehardError(
            f"detect.model: cannot fetch {url} ({reason}): download it to {file.absolute()}; its "
            f"SHA-256 is {expected}"
        ) from error
    return f"{file}: fetched, SHA-256 as published"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
