"""What an image's source says: its licence, and columns such as opt-outs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from finehard.curate.config import ColumnConfig
from finehard.curate.reason import Reason


def license_reason(license: str | None, allowed: Iterable[str]) -> Reason | None:
    """Returns why an image under `license` is left out; None if it is not, or all are allowed.
    Case and white space do not count."""
    names = {_plain(name) for name in allowed}
    if not names or _plain(license or "") in names:
        return None
    return Reason("license_not_allowed", license or "no licence is given")


def column_reason(
    metadata: Mapping[str, Any], columns: Mapping[str, ColumnConfig]
) -> Reason | None:
    """Returns the first column that leaves an image out; None if none does."""
    for name, rule in columns.items():
        value = metadata.get(name)
        if value is not None and _is_against(value, rule):
            return Reason("left_out_by_column", f"{name} is {value}")
    return None


def without_value(metadata: Mapping[str, Any], columns: Iterable[str]) -> list[str]:
    """Returns the columns that have no value."""
    return [name for name in columns if metadata.get(name) is None]


def _is_against(value: Any, rule: ColumnConfig) -> bool:
    if _plain(str(value)) in {_plain(text) for text in rule.none_of}:
        return True
    if rule.most is None and rule.least is None:
        return False
    try:
        number = float(value)
    except (TypeError, ValueError):
        return True  # what cannot be compared is not shown to be within the limit
    low = rule.least is not None and not number >= rule.least
    return low or (rule.most is not None and not number <= rule.most)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
