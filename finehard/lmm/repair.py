"""Fits a reply's value to its schema where only the form is wrong, never the content.

Words of an enumeration are matched in any case, keys that the schema does not name are dropped,
and so are bad items of a list. Entries under the numbers "1" to "n" may be given as a list, in
order or with a number in each item.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

import orjson

from finehard.schemas import ReplySchema

_MOST_ITEMS = 4000
"""Items and entries that are looked at in one reply; a longer one must fit as it is."""
_WORD_ENDS = " \t\r\n.,;:!?\"'`*_()[]"
_FIRST_WORD = re.compile(r"\s*(\w+)\s*[.,;:!(\u2013\u2014-]")
_NUMBER = re.compile(r"[^\d\s]{0,20}[\s_.#-]{0,3}0{0,3}(\d{1,5})[.):]?", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False}
_TEXT_KEYS = frozenset(("caption", "text", "description", "answer"))
"""Keys under which an entry that is a string is sometimes wrapped."""
_NUMBER_KEY = re.compile(
    r"(?:(?:image|region|box|item|caption|statement|question)[ _-]?)?(?:id|number|index|no)"
    r"|n|key|region|image|item|statement"
)
"""Keys under which an item of a list has its number."""
_OWN_NUMBER = re.compile(r"(?:image|region|item|statement|no)?[\s_.#]{0,3}\d{1,5}", re.A | re.I)
"""A number there that is a string. An item's label may end in a number too ("bus 42")."""
_YES_NO_WORDS = {
    "yes": ("true", "y", "correct"),
    "no": ("false", "n", "incorrect"),
}


def entry_count(schema: dict[str, Any]) -> int:
    """Returns how many entries `schema` requires, if its keys are "1" to that; else 0."""
    keys = schema.get("required")
    if not isinstance(keys, list) or keys != [str(n) for n in range(1, len(keys) + 1)]:
        return 0
    return len(keys) if schema.get("properties", {}).keys() == set(keys) else 0


class Repair:
    """Fits values to `schema`, a JSON Schema with its lengths. One object for one reply: the work
    for all values together is bounded."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.count = entry_count(schema)
        self._left = _MOST_ITEMS

    def fitted(self, value: Any) -> Any:
        """Returns `value` in the form of the schema as far as that can be had; it may not fit."""
        if self.count and isinstance(value, list):
            value = self._by_number(value)
        if self.count and isinstance(value, dict):
            value = _without_digits(value, self.schema["properties"]["1"])
        return self._fitted(value, self.schema)

    def good_entries(self, value: Any) -> dict[str, Any] | None:
        """Returns the entries of a fitted `value` that fit; None if fewer than half do."""
        if not self.count or not isinstance(value, dict):
            return None
        entries = self.schema["properties"]
        good = {k: v for k, v in value.items() if k in entries and _fits(v, entries[k])}
        return good if 2 * len(good) >= self.count else None

    def merged(self, values: Iterable[Any]) -> dict[str, Any] | None:
        """Returns what stands in several objects as one, if no key or number is repeated."""
        objects = [value for value in values if isinstance(value, dict)]
        if self.count and (numbered := _by_own_numbers(objects)):
            return numbered
        merged: dict[str, Any] = {}
        for value in values:
            if not isinstance(value, dict) or value.keys() & merged.keys():
                return None
            merged |= value
        return merged

    def _by_number(self, items: list[Any]) -> Any:
        if items and all(isinstance(item, dict) for item in items):
            if all(len(item) == 1 for item in items):
                merged = self.merged(items)
                if merged is not None and all(_number(key) for key in merged):
                    return merged
            numbered = _by_own_numbers(items)
            if numbered is not None:
                return numbered or items
        if len(items) != self.count:
            return items
        return {str(n): item for n, item in enumerate(items, 1)}

    def _fitted(self, value: Any, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return value
        self._left -= 1
        kind = schema.get("type")
        if self._left < 0:
            return value
        if "enum" in schema:
            return _word(value, schema["enum"])
        if kind == "object" and isinstance(value, dict):
            return self._object(value, schema)
        if kind == "array":
            return self._array(value, schema)
        if kind == "boolean" and isinstance(value, str):
            return _BOOLEANS.get(value.strip(_WORD_ENDS).casefold(), value)
        if kind == "string" and isinstance(value, dict) and len(value) == 1:
            [(key, inner)] = value.items()
            return inner if key in _TEXT_KEYS else value
        return value

    def _object(self, value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
        if "patternProperties" in schema:
            return value
        properties = schema.get("properties", {})
        more = schema.get("additionalProperties", True)
        name_keys = numbered_names if entry_count(schema) else _names
        names = name_keys(value, properties)
        fitted: dict[str, Any] = {}
        for key, item in value.items():
            if key in names:
                fitted[names[key]] = self._fitted(item, properties[names[key]])
            elif more is not False and key not in properties:
                fitted[key] = self._fitted(item, more)
        ordered = {name: fitted[name] for name in properties if name in fitted}
        return {**ordered, **fitted}

    def _array(self, value: Any, schema: dict[str, Any]) -> Any:
        items = schema.get("items")
        if value is None:
            return []
        if isinstance(value, dict) and isinstance(items, dict) and items.get("type") == "object":
            value = [value]
        if not isinstance(value, list) or not isinstance(items, dict):
            return value
        most = schema.get("maxItems", _MOST_ITEMS)
        good: list[Any] = []
        for item in value:
            if len(good) == most:
                break
            fitted = self._fitted(item, items)
            if self._left < 0:
                return value
            if _fits(fitted, items):
                good.append(fitted)
        return good if good or not value else value


def _by_own_numbers(items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the entries of items that each have a number: `{"id": 1, "caption": "a mug"}`.

    None if they have none; nothing if a number is repeated, or if it is not clear which of the
    other keys has the entry.
    """
    key = next((k for k in items[0] if _numbers(k, items)), None) if items else None
    if key is None:
        return None
    entries: dict[str, Any] = {}
    for item in items:
        rest = {k: v for k, v in item.items() if k != key}
        texts = [k for k in rest if k in _TEXT_KEYS]
        if len(rest) == 1:
            [entry] = rest.values()
        else:
            entry = rest[texts[0]] if len(texts) == 1 else rest
        entries[str(item[key])] = entry
    return entries if len(entries) == len(items) else {}


def _numbers(key: str, items: list[dict[str, Any]]) -> bool:
    """Returns whether each of `items` has a number under `key`, and something beside it."""
    if not _NUMBER_KEY.fullmatch(key.casefold()):
        return False
    return all(
        len(item) > 1
        and (type(n := item.get(key)) is int or (isinstance(n, str) and _OWN_NUMBER.fullmatch(n)))
        for item in items
    )


def _without_digits(entries: dict[str, Any], schema: Any) -> dict[str, Any]:
    """Returns `entries` with yes and no for 1 and 0, if all of them are one or the other: among
    words, a digit may have another meaning."""
    words = schema.get("enum") if isinstance(schema, dict) else None
    if not words or set(map(str, words)) != {"yes", "no"}:
        return entries
    digits = {k: v for k, v in entries.items() if _number(k) is not None}
    if not all(type(v) in (int, float, str) and v in (0, 1, "0", "1") for v in digits.values()):
        return entries
    return {**entries, **{k: "yes" if int(v) else "no" for k, v in digits.items()}}


def numbered_names(keys: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Returns the name, "1" to "n", that each key stands for: itself, "01", "Image 1", "1.".

    Numbers from 0 are one too low, if all are there; else they are not understood.
    """
    numbers = {key: number for key in keys if (number := _number(key)) is not None}
    if 0 in numbers.values():
        if sorted(numbers.values()) != list(range(len(names))):
            return {}
        return {key: str(number + 1) for key, number in numbers.items()}
    found = {key: str(number) for key, number in numbers.items()}
    return {
        k: name for k, name in found.items() if name in names and (k == name or name not in found)
    }


def _number(key: str) -> int | None:
    match = _NUMBER.fullmatch(key.strip())
    return int(match[1]) if match else None


def _names(keys: Iterable[str], properties: Collection[str]) -> dict[str, str]:
    """Returns the property that each key names, itself or written differently ("Short caption")."""
    plain = {_plain(name): name for name in properties}
    found = {key: key if key in properties else plain.get(_plain(key), "") for key in keys}
    return {k: name for k, name in found.items() if name and (k == name or name not in found)}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name[:100]).casefold()


def _word(value: Any, words: list[Any]) -> Any:
    """Returns the one of `words` that `value` is in another form; `value` itself if none."""
    if value in words:
        return value
    if isinstance(value, dict) and len(value) == 1:
        [value] = value.values()
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str):
        return value
    known = {word.casefold(): word for word in words if isinstance(word, str)}
    if known.keys() == {"yes", "no"}:
        known |= {form: known[word] for word, forms in _YES_NO_WORDS.items() for form in forms}
    plain = value[:200].strip(_WORD_ENDS).casefold()
    first = _FIRST_WORD.match(value)
    return known.get(plain) or (known.get(first[1].casefold()) if first else None) or value


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and not isinstance(value, dict):
        return False
    checker = _checker(orjson.dumps(schema))
    return checker is None or checker.why_invalid(value) is None


@cache
def _checker(schema: bytes) -> ReplySchema | None:
    """Returns the part of a schema as one of its own; None if it refers to another part, so that
    only the whole can be checked."""
    return None if b'"$ref"' in schema else ReplySchema(orjson.loads(schema))
