"""A text from which pieces are cut, and what was cut, by kind."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Cut:
    """`text` is what is left; `pieces` is what was cut, by kind, in the order of cutting."""

    text: str
    pieces: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, piece: str) -> None:
        """Records that `piece` was cut."""
        self.pieces.setdefault(kind, []).append(piece)

    def every(self, kind: str, pattern: re.Pattern[str], by: str = " ") -> None:
        """Replaces every match of `pattern`, by `by` or, where it has a group, by that group."""

        def replaced(match: re.Match[str]) -> str:
            self.note(kind, match[0])
            return match[1] if pattern.groups else by

        self.text = pattern.sub(replaced, self.text)

    def lead(self, kind: str, length: int) -> None:
        """Cuts the first `length` characters. What follows begins with a capital where they did,
        if they were the beginning of its sentence."""
        piece, rest = self.text[:length].strip(), self.text[length:].lstrip()
        self.note(kind, piece)
        begun = piece[:1].isupper() and piece[-1] not in ":：!."
        self.text = rest[:1].upper() + rest[1:] if begun else rest

    def tail(self, kind: str, start: int) -> None:
        """Cuts everything from character `start`."""
        self.note(kind, self.text[start:].strip())
        self.text = self.text[:start].rstrip()
