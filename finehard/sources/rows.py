"""A row that holds an image's bytes or names its file, as a sample.

The rows are untrusted: URLs are never fetched, and paths cannot leave `source.image_root`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from finehard.io import storage
from finehard.records import Bytes, Record, Reject
from finehard.sources.source import (
    NOWHERE,
    Loaded,
    SourceConfig,
    Unit,
    chosen_metadata,
    clean_text,
    safe_key,
)

IMAGE_COLUMNS = ("image", "image_bytes", "bytes", "jpg", "jpeg", "png", "webp", "content")
PATH_COLUMNS = ("path", "image_path", "file_name", "filename", "file")
TEXT_COLUMNS = ("alt_text", "caption", "text", "TEXT", "txt")
KEY_COLUMNS = ("key", "__key__", "id", "uid")
URL_COLUMNS = ("url", "URL")
LICENSE_COLUMNS = ("license", "LICENSE")
NO_URLS = "URLs are not fetched: get the images with img2dataset first"


def pick(names: Sequence[str], usual: Sequence[str], fits: Callable[[str], bool]) -> str | None:
    """Returns the first of the `usual` columns that is among `names` and `fits`; None without."""
    return next((name for name in usual if name in names and fits(name)), None)


def metadata_roles(config: SourceConfig) -> list[tuple[str, str]]:
    """Returns the columns of `source.metadata` and the role of each."""
    return [(name, f"metadata.{name}") for name in config.metadata]


def text_of(value: Any) -> str | None:
    """Returns a caption as text: of several the first, bytes as UTF-8; None if there is none."""
    if isinstance(value, list | tuple):
        return next((text for text in map(text_of, value) if text), None)
    return clean_text(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)


def sample(
    unit: Unit, source: str, values: Mapping[str, Any], unnamed: str, config: SourceConfig
) -> Loaded | Reject:
    """Returns the sample of a row, `values` by role: key, image, path, text, url, license,
    and those of `metadata_roles`.

    `unnamed` is the name of a row without a key; `source` is the row's, which is in `unit`.
    """
    name = values.get("key")
    key = safe_key(str(name) if isinstance(name, str | int | UUID) else unnamed)
    image = values.get("image")
    path = values.get("path")
    if isinstance(image, dict):
        path = image.get("path")
        image = image.get("bytes")
    where = NOWHERE
    if image is None:
        if not isinstance(path, str) or not path:
            return Reject(key, source, "source", "missing_image", "the row names no image")
        target, root = located(path, unit.file.uri, config)
        if target is None:
            detail = f"{path[:200]} leaves {root}"
            detail += f"; {NO_URLS}" if path.startswith(("http://", "https://")) else ""
            return Reject(key, source, "source", "unsafe_member", detail)
        try:
            where = Bytes(target, 0, storage.size(target))
            if where.length <= config.max_image_bytes:
                image = storage.read(where)
        except (OSError, EOFError) as error:
            return Reject(key, source, "source", "unreadable_image", str(error)[:200])
    if image is None or len(image) > config.max_image_bytes:
        size = where.length if image is None else len(image)
        return Reject(key, source, "source", "image_file_too_large", f"{size} bytes")
    further = {name: values.get(role) for name, role in metadata_roles(config)}
    record = Record(
        key=key,
        source=source,
        unit=unit.id,
        image=where,
        sha256="",
        alt_text=text_of(values.get("text")),
        url=clean_text(values.get("url")),
        license=clean_text(values.get("license")),
        metadata=chosen_metadata(further, config),
    )
    return Loaded(record, image)


def located(path: str, uri: str, config: SourceConfig) -> tuple[str | None, str]:
    """Returns where the image `path` of a row of the file `uri` is, and the folder of all paths.

    None for other schemes, and for paths or links out of that folder.
    """
    root = storage.local(config.image_root or os.path.dirname(uri))
    if "\0" in path or "://" in path and not path.startswith(root):
        return None, root
    if storage.is_remote(root):
        inside = path.removeprefix(root).lstrip("/")
        return None if ".." in inside.split("/") else storage.join(root, inside), root
    full = os.path.realpath(os.path.join(root, path))
    return full if full.startswith(os.path.realpath(root) + os.sep) else None, root
