"""A benchmark's folder: finds its files under the names that people keep them by."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from finehard.benchmarks.items import Picture
from finehard.errors import FinehardError, typed_error_line
from finehard.io import storage

_BEGIN = re.compile(r"\s*\[\s*")
_BETWEEN = re.compile(r"[\s,]*")
"""What stands before the first entry of a JSON list, and before another."""


class Absent(FinehardError):
    """The files of a benchmark are not below the folder that was given."""


class Folder(NamedTuple):
    """A folder or URI with the files of one benchmark."""

    uri: str

    def find(self, *names: str) -> str:
        """Returns the URI of the first of the files `names` that is there. Raises `Absent`."""
        for name in names:
            if storage.exists(uri := storage.join(self.uri, name)):
                return uri
        raise Absent(f"{storage.join(self.uri, names[0])}: no such file")

    def folder(self, *names: str, inside: tuple[str, ...] = ("",)) -> Folder:
        """Returns the first of the folders `names` in which one of the folders `inside` is; ""
        stands for the folder itself. Raises `Absent`."""
        for name in names:
            uri = self._join(name)
            if any(storage.is_dir(Folder(uri)._join(one)) for one in inside):
                return Folder(uri)
        raise Absent(f"{Folder(self._join(names[0]))._join(inside[0])}: no such folder")

    def _join(self, name: str) -> str:
        return storage.join(self.uri, name) if name else self.uri

    def picture(self, name: str) -> Picture:
        """Returns the image file `name` in this folder, whether it is there or not."""
        return Picture(name, storage.join(self.uri, name))

    def picture_below(self, name: str) -> Picture:
        """Returns the image file `name` in this folder; by its base name, unless its folders are
        there too."""
        whole = storage.join(self.uri, name)
        return Picture(name, whole) if storage.exists(whole) else self.picture(_base(name))


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def parsed(uri: str, read: Callable[[], Any]) -> Any:
    """Returns what `read` makes of the file `uri`. Raises `FinehardError`, naming the file, where
    its content is not as expected."""
    try:
        return read()
    except FinehardError:
        raise
    except OSError as error:
        raise FinehardError(f"{uri}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise FinehardError(
            f"{uri}: not in the benchmark's format: {typed_error_line(error, 200)}"
        ) from None


def read_json(uri: str) -> Any:
    """Returns the content of a JSON file."""
    return json.loads(storage.read_all(uri))


def lines(uri: str) -> Iterator[str]:
    """Yields the lines of a UTF-8 file that are not blank, without line ends."""
    with storage.open_read(uri) as file:
        for line in file:
            if text := line.decode("utf-8-sig").rstrip("\r\n"):
                yield text


def json_lines(uri: str) -> Iterator[Any]:
    """Yields the rows of a JSON Lines file."""
    return (json.loads(line) for line in lines(uri) if line.strip())


def first_of_list(uri: str, count: int) -> list[Any]:
    """Returns the first `count` entries of a JSON file that is one long list, reading no further
    than it must."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    between = _BEGIN
    with storage.open_read(uri) as file:
        data, text, more = b"", "", True
        while more and len(found) < count:
            data += (read := file.read(1 << 20))
            more = bool(read)
            whole = len(data) - (_unfinished(data) if more else 0)
            text, data = text + data[:whole].decode("utf-8"), data[whole:]
            at = 0
            while len(found) < count and (start := between.match(text, at)):
                if text[start.end() : start.end() + 1] == "]":
                    return found
                try:
                    entry, end = decoder.raw_decode(text, start.end())
                except ValueError:
                    if not more:
                        raise
                    break
                found.append(entry)
                at, between = end, _BETWEEN
            text = text[at:]
    if len(found) < count:
        raise ValueError("the list has no end")
    return found


def _unfinished(data: bytes) -> int:
    """Returns how many bytes at the end of `data` begin a character that is not whole."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
        if byte < 0x80:
            return 0
    return 0
