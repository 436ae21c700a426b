"""Reads images with true and false texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from finehard.benchmarks.folder import Folder, parsed, read_json
from finehard.benchmarks.items import Choices, Judged

Read = Callable[[Folder], Choices]


def sugarcrepe(
    files: tuple[str, ...], images: tuple[str, ...], true: tuple[str, ...], false: tuple[str, ...]
) -> Read:
    """Reads a JSON of rows with "filename"; `true` and `false` are the fields of their texts."""

    def read(folder: Folder) -> Choices:
        uri = folder.find(*files)
        place = folder.folder(*images)

        def item(row: dict[str, Any]) -> Judged:
            texts = (tuple(row[field] for field in fields) for fields in (true, false))
            return Judged(place.picture(row["filename"]), *texts)

        def rows() -> Choices:
            content = read_json(uri)
            return Choices(
                [item(r) for r in (content.values() if isinstance(content, dict) else content)]
            )

        return parsed(uri, rows)

    return read
