"""What the people who publish a dataset say of it: name, licence, authors, contact."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from finehard.errors import UsageError
from finehard.records import one_line

_MOST = 200


@dataclass(frozen=True)
class About:
    """`license` is that of the annotations, by its identifier on the Hub (cc-by-4.0); images have
    their own. `contact` is where people ask for the removal of an image."""

    name: str
    license: str
    authors: tuple[str, ...] = ()
    contact: str | None = None

    def __post_init__(self) -> None:
        for option, text in (("name", self.name), ("contact", self.contact or ""),
                             *(("author", author) for author in self.authors)):  # fmt: skip
            if text != one_line(text) or len(text) > _MOST or (option != "contact" and not text):
                raise UsageError(
                    f"--{option} {text[:80]!r}: give a line of 1 to {_MOST} characters"
                )
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9.+-]*", self.license):
            raise UsageError(
                f"--license {self.license[:80]!r}: give an identifier such as cc-by-4.0, "
                "apache-2.0 or other"
            )

    def published(self) -> dict[str, Any]:
        """Returns the values as the manifest has them."""
        return {**asdict(self), "license": self.license.lower(), "authors": list(self.authors)}
