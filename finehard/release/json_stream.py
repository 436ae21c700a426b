"""Reads a long JSON list or object element by element, in bounded memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any

from finehard.errors import FinehardError, error_line

_CHUNK = 4 << 20
_LONGEST = 64 << 20
"""Longest element in characters; an item of the release has some thousand."""
_SPACE = re.compile(r"[\s\ufeff]*")
_decode = json.JSONDecoder().raw_decode


class _Text:
    """A file's text, of which the part before `at` is forgotten."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._rest = b""
        self._passed = 0
        self.text = ""
        self.at = 0
        self.ended = False

    def more(self) -> None:
        """Reads another chunk."""
        data = self._file.read(_CHUNK)
        self.ended = not data
        self._passed += self.at
        # a character may be cut in two
        text = (self._rest + data).decode("utf-8", "surrogateescape")
        self._rest = b""
        if not self.ended:
            whole = text.rstrip("".join(map(chr, range(0xDC80, 0xDD00))))
            self._rest = text[len(whole) :].encode("utf-8", "surrogateescape")
            text = whole
        self.text = self.text[self.at :] + text
        self.at = 0

    def next(self) -> str:
        """Returns the next character that is not space, without passing it; "" at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more()

    def value(self) -> Any:
        """Returns the next value and passes it."""
        self.next()
        while True:
            try:
                value, end = _decode(self.text, self.at)
                if end < len(self.text) or self.ended:
                    self.at = end
                    return value
            except (ValueError, RecursionError) as error:
                if self.ended or len(self.text) - self.at > _LONGEST:
                    self.fail(error_line(error, 100))
            self.more()

    def expect(self, characters: str) -> str:
        """Passes one of `characters` and returns it."""
        found = self.next()
        if not found or found not in characters:
            self.fail(f"{found!r} where one of {characters!r} should be")
        self.at += 1
        return found

    def fail(self, why: str) -> None:
        """Raises `FinehardError` that names the place."""
        where = self._passed + self.at
        raise FinehardError(f"{self._name} is damaged after {where:,} characters: {why}")


def items(file: IO[bytes], name: str) -> Iterator[Any]:
    """Yields the elements of the JSON list in `file`, called `name` in errors.

    Raises `FinehardError` where it is damaged or ends early.
    """
    text = _Text(file, name)
    text.expect("[")
    if text.next() == "]":
        return
    while True:
        yield text.value()
        if text.expect(",]") == "]":
            return


def pairs(file: IO[bytes], name: str) -> Iterator[tuple[str, Any]]:
    """Yields the names and values of the JSON object in `file`. Raises as `items`."""
    text = _Text(file, name)
    text.expect("{")
    if text.next() == "}":
        return
    while True:
        key = text.value()
        text.expect(":")
        yield str(key), text.value()
        if text.expect(",}") == "}":
            return
