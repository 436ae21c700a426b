"""Checks of single images that a config names: those that are here, and a user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from PIL import Image

from finehard import registry
from finehard.curate.reason import REASONS, Reason
from finehard.errors import UsageError
from finehard.records import Record


class Check(Protocol):
    """A check of one image at a time, such as for watermarks, nudity or faces.

    `module:attribute` names an instance, or a class that is made without arguments.
    It is made once in each worker process, and called by one thread at a time.
    """

    reasons: Mapping[str, str]
    """The reasons that it gives, each with what it means."""

    def __call__(self, record: Record, picture: Image.Image) -> Reason | None:
        """Returns why an image is left out, or None. `picture` is upright and RGB, its longest side
        at most `images.max_side` pixels."""


class PersonalData:
    """E-mail addresses and telephone numbers in the alt text."""

    reasons: Mapping[str, str] = {"personal_data": REASONS["personal_data"]}

    _EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", re.IGNORECASE)
    _PHONE = re.compile(
        r"(?<![\w.,/-])(?:(?:\+|00)\d{1,3}[\s./-]?)?(?:\(\d{1,5}\)[\s./-]?)?"
        r"\d{2,10}(?:[\s./-]\d{2,10}){0,4}(?![\w,/-])"
    )
    _AMERICAN = re.compile(r"\d{3}[\s.-]\d{3}[\s.-]\d{4}")
    _DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|(?:19|20)\d\d\s?[/-]\s?(?:19|20)?\d\d")

    def __call__(self, record: Record, picture: Image.Image) -> Reason | None:
        """Returns what was found, without the digits and names."""
        text = record.alt_text or ""
        if self._EMAIL.search(text):
            return Reason("personal_data", "an e-mail address")
        for found in self._PHONE.finditer(text):
            number = found.group()
            digits = sum(c.isdecimal() for c in number)
            called = number.startswith(("+", "(", "0")) or self._AMERICAN.fullmatch(number)
            if 7 <= digits <= 15 and called and not self._DATE.fullmatch(number):
                return Reason("personal_data", "a telephone number")
        return None


def load_check(spec: str) -> Check:
    """Returns the check that `spec` names. Raises `UsageError` where there is none."""
    known: dict[str, Callable[[], Check]] = {"personal_data": PersonalData}
    made: Any = registry.load(spec, known, "curate.checks")
    check = made() if isinstance(made, type) else made
    if not callable(check) or not isinstance(getattr(check, "reasons", None), Mapping):
        raise UsageError(f"curate.checks: {spec} has no reasons, or cannot be called: see Check")
    loaded: Check = check
    return loaded
