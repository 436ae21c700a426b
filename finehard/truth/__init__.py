"""Truth files, which list the objects in images, and the measurement of datasets against them.

docs/truth.md describes the format. `read_truth(path)` reads a file, `measure.measure` compares a
dataset with it, and `command.main` is `finehard evaluate data`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finehard.errors import UsageError
from finehard.records import Box

VERSION = "1.0"


@dataclass(frozen=True)
class TrueObject:
    """One object of an image. `attributes` has only those that apply; `box` is normalised xyxy."""

    kind: str
    attributes: dict[str, str]
    box: Box
    held_out: bool = False


@dataclass(frozen=True)
class Truth:
    """A truth file. `by_key` and `by_sha256` map images to their objects."""

    kinds: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]
    by_key: dict[str, tuple[TrueObject, ...]]
    by_sha256: dict[str, tuple[TrueObject, ...]]

    def of(self, sample: dict[str, Any]) -> tuple[TrueObject, ...] | None:
        """The objects of a sample, by its image's SHA-256 or else by its key; None if unknown."""
        objects = self.by_sha256.get(sample["image"]["sha256"])
        return objects if objects is not None else self.by_key.get(sample["key"])


def read_truth(path: str | Path) -> Truth:
    """Reads the truth file at `path`, or `truth.jsonl` in the folder `path`.

    Raises `UsageError` with the line that is wrong.
    """
    file = Path(path) / "truth.jsonl" if Path(path).is_dir() else Path(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"truth {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"truth {file}: {error}") from None
    number = 0
    by_key: dict[str, tuple[TrueObject, ...]] = {}
    by_sha256: dict[str, tuple[TrueObject, ...]] = {}
    kinds: tuple[str, ...] = ()
    attributes: dict[str, tuple[str, ...]] = {}
    try:
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            if number == 1:
                if row["truth_version"] != VERSION:
                    raise ValueError(f"truth_version must be {VERSION!r}")
                kinds = tuple(row["kinds"])
                attributes = {name: tuple(words) for name, words in row["attributes"].items()}
                continue
            objects = tuple(_object(o, kinds) for o in row["objects"])
            by_key[row["key"]] = objects
            digest = row.get("image", {}).get("sha256")
            if digest:
                by_sha256[digest] = objects
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"truth {file}, line {number}: {type(error).__name__} {error}; see docs/truth.md"
        ) from None
    if not by_key:
        raise UsageError(f"truth {file}: no images in it; see docs/truth.md")
    return Truth(kinds, attributes, by_key, by_sha256)


def _object(row: dict[str, Any], kinds: tuple[str, ...]) -> TrueObject:
    if row["kind"] not in kinds:
        raise ValueError(f"kind {row['kind']!r} is not in the header's kinds")
    x1, y1, x2, y2 = (float(v) for v in row["box"])
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise ValueError(f"box {row['box']} is not normalised xyxy")
    attributes = {name: word for name, word in row["attributes"].items() if word is not None}
    return TrueObject(row["kind"], attributes, (x1, y1, x2, y2), bool(row.get("held_out", False)))
