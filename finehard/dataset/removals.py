"""Samples to be left out on request: the list, what it matches, and its record in the dataset.

A list names samples by `url`, `key`, `sha256` (of the image) or `source` (below the input). What an
output was ever asked to leave out is recorded in `_journal/removed.csv`, which every later build
of that output reads.
"""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from finehard.dataset.layout import JOURNAL
from finehard.digest import digest, number
from finehard.errors import UsageError
from finehard.io import storage
from finehard.rejects import REMOVED

DETAIL = "named in a removal list"
KINDS = ("url", "key", "sha256", "source")
RECORD = "removed.csv"
"""In the journal's folder."""
_SHA256 = re.compile("[0-9A-Fa-f]{64}")
_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")
_KEY = re.compile("[A-Za-z0-9_-]+(~[0-9]+)?")


class Entry(NamedTuple):
    """One line of a list: `kind` is one of `KINDS`, `value` is in one form (`entry`)."""

    kind: str
    value: str


def entry(kind: str, value: str) -> Entry:
    """Returns an entry whose value equals that of every spelling of the same thing."""
    if kind == "url":
        value = _plain_url(value)
    return Entry(kind, value.lower() if kind == "sha256" else value)


def _plain_url(url: str) -> str:
    """Returns `url` without http or https, fragment, and capitals in the host's name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme not in ("http", "https"):
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"//{parts.netloc.lower()}{parts.path or '/'}{query}"


def below(source: str, folder: str) -> str:
    """Returns the part of `source` that is below the input `folder`, or else all of it. So a list
    holds too where the input was moved."""
    rest = source.removeprefix(folder.rstrip("/"))
    return rest.lstrip("/") if rest != source and rest[:1] in ("/", "#") else source


class Removals:
    """What is to be left out; eight bytes of memory an entry."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        hashes = array("Q")
        self._kinds: set[str] = set()
        for each in entries:
            self._kinds.add(each.kind)
            hashes.append(number(" ".join(each)))
        self._hashes = np.unique(np.frombuffer(hashes, np.uint64))

    def match(self, **values: str | None) -> Entry | None:
        """Returns the entry for the first of `values` (kind=value) that the list holds, or None."""
        for kind, value in values.items():
            if value and kind in self._kinds and self._holds(made := entry(kind, value)):
                return made
        return None

    def digest(self) -> str:
        """Returns a digest of the entries; "" if there are none."""
        return digest(self._hashes.tobytes().hex()) if len(self._hashes) else ""

    def _holds(self, each: Entry) -> bool:
        wanted = np.uint64(number(" ".join(each)))
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self._hashes) and bool(self._hashes[place] == wanted)


def left_out(removals: Removals, key: str, item: dict[str, Any], source: str) -> dict[str, Any]:
    """Returns the finished sample or reject `item`, which is `key` in the dataset, as a reject if
    it is to be left out; `source` is the dataset's input. What the sample cost and how many parts
    rules dropped of it stay, without examples."""
    if "reject" in item:
        return item
    image = item["sample"]["image"]
    if not removals.match(url=image["url"], key=key, sha256=image["sha256"],
                          source=below(image["source_uri"], source)):  # fmt: skip
        return item
    dropped = {rule: [number, ""] for rule, (number, _) in item["dropped"].items()}
    reject = reject_row(image["source_uri"])
    return {"reject": reject, "usage": item["usage"], "dropped": dropped}


def reject_row(source: str) -> dict[str, str]:
    """Returns a row of rejects, without the key."""
    return {"source": source, "stage": "source", "reason": REMOVED, "detail": DETAIL}


def read_list(uri: str) -> list[Entry]:
    """Returns the entries of the list at `uri`.

    `.csv` has columns named as in `KINDS` (others are passed over), `.jsonl` such members or one
    string a line; anything else has one URL, key or SHA-256 a line, and "#" begins a remark. Each
    value is an entry of its own. Raises `UsageError` with the line that cannot be read.
    """
    uri = storage.local(uri)
    try:
        text = storage.read_all(uri).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"removal list {uri}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"removal list {uri} is not UTF-8") from None
    suffix = uri.lower().rpartition(".")[2]
    found: list[Entry] = []
    reader = {"csv": _of_csv, "jsonl": _of_jsonl}.get(suffix, _of_lines)
    try:
        for each in reader(text):
            found += each
    except _BadLine as error:
        raise UsageError(f"removal list {uri}, line {error.line}: {error}") from None
    return found


class _BadLine(ValueError):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _of_lines(text: str) -> Iterator[list[Entry]]:
    for line, value in enumerate(text.split("\n"), 1):
        if (value := value.strip()) and not value.startswith("#"):
            yield _unnamed(line, value)


def _of_csv(text: str) -> Iterator[list[Entry]]:
    rows = csv.DictReader(io.StringIO(text))
    names = rows.fieldnames or ()
    if not {*KINDS} & {*names} and not {*Entry._fields} <= {*names}:
        raise _BadLine(1, f"no column is named {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    for row in rows:
        yield _named(rows.line_num, row)


def _of_jsonl(text: str) -> Iterator[list[Entry]]:
    for line, data in enumerate(text.split("\n"), 1):
        if not data.strip():
            continue
        try:
            value = json.loads(data)
        except ValueError:
            raise _BadLine(line, "not JSON") from None
        if isinstance(value, str):
            yield _unnamed(line, value.strip())
        elif isinstance(value, dict) and {*KINDS, "kind"} & value.keys():
            yield _named(line, value)
        else:
            raise _BadLine(line, f"neither a string nor an object with {', '.join(KINDS)}")


def _named(line: int, row: dict[str, Any]) -> list[Entry]:
    if row.get("kind"):
        if row["kind"] not in KINDS or not row.get("value"):
            raise _BadLine(line, f"kind {row['kind']!r} is not one of {', '.join(KINDS)}")
        row = {row["kind"]: row["value"]}
    values = ((kind, row.get(kind)) for kind in KINDS)
    return [entry(kind, value.strip()) for kind, value in values
            if isinstance(value, str) and value.strip()]  # fmt: skip


def _unnamed(line: int, value: str) -> list[Entry]:
    if _URL.match(value):
        return [entry("url", value)]
    found = [entry("sha256", value)] if _SHA256.fullmatch(value) else []
    if _KEY.fullmatch(value):
        found.append(entry("key", value))  # files may be named by their hash
    if not found:
        kinds = ", ".join(KINDS)
        raise _BadLine(line, f"{value[:80]!r} is no URL, key or SHA-256; to name what it is, give "
                       f"a .csv file with columns {kinds}")  # fmt: skip
    return found


def recorded(output: str) -> list[Entry]:
    """Returns what `output` was asked to leave out until now."""
    uri = _record(output)
    return read_list(uri) if storage.exists(uri) else []


def record(output: str, entries: Iterable[Entry]) -> None:
    """Makes `entries` what every later build of `output` leaves out."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Entry._fields)
    rows.writerows(sorted(set(entries)))
    storage.write(_record(output), text.getvalue().encode("utf-8", "replace"))


def _record(output: str) -> str:
    return storage.join(output, JOURNAL, RECORD)
