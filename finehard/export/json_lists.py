"""JSON of long lists, written item by item."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from typing import IO, Any

import orjson


def write_lines(file: IO[bytes], rows: Iterable[Any]) -> None:
    """Writes `rows` as JSON Lines."""
    for row in rows:
        file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def write_list(file: IO[bytes], rows: Iterable[Any]) -> None:
    """Writes `rows` as one JSON list, a row a line."""
    before = b"[\n"
    for row in rows:
        file.write(before + orjson.dumps(row))
        before = b",\n"
    file.write(b"\n]\n" if before == b",\n" else b"[]\n")


class JsonLists:
    """A JSON object whose values are long lists, which grow at the same time, on disk."""

    def __init__(self, *names: str) -> None:
        self._files = {name: tempfile.TemporaryFile() for name in names}  # noqa: SIM115

    def add(self, name: str, row: Any) -> None:
        """Appends `row` to the list `name`."""
        file = self._files[name]
        file.write((b",\n" if file.tell() else b"") + orjson.dumps(row))

    def write(self, file: IO[bytes], info: dict[str, Any]) -> None:
        """Writes the object, with `info` first, and closes the lists."""
        file.write(b'{"info": ' + orjson.dumps(info))
        for name, rows in self._files.items():
            file.write(b',\n"%s": [\n' % name.encode())
            rows.seek(0)
            shutil.copyfileobj(rows, file, 1 << 20)
            file.write(b"\n]")
            rows.close()
        file.write(b"}\n")
