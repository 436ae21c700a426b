"""Details of other images, to be added to texts that they make false.

The details come from a file of the user's, such as the `regions.parquet` of an earlier dataset, or
else from a bundled list. One fits an image if no text of the image names a thing of its kind.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.digest import number
from finehard.errors import UsageError
from finehard.io import storage
from finehard.negatives.heads import Word, words
from finehard.negatives.listed import listed
from finehard.negatives.other_kinds import is_one_thing
from finehard.phrases.lexicon import broader, category, reading

BUNDLED = Path(__file__).parent / "data" / "details.txt"
MOST = 20_000
"""Details that are kept of a file, drawn by their hashes."""
_TRIED = 500
_ANY_KIND = listed(
    "instrumentality instrumentation article container device equipment commodity good solid unit "
    "implement protection individual someone object thing item transport structure machine"
)
"""Classes that hold for too much to say what something is."""
_EVERYWHERE = listed(
    "wall floor ground ceiling sky cloud tree grass leaf plant bush water light shadow reflection "
    "window door roof building house road street sidewalk wheel tire leg handle edge corner side "
    "top bottom line stripe text letter word number sign logo label pattern surface background "
    "table chair shirt clothing shoe pole wire fence stone rock dirt sand snow"
)
"""What is often there without being named."""
_PERSONS_AND_BODIES = ("p", "f")
"""Letters of WordNet's categories of what captions often leave out."""


class Detail(NamedTuple):
    """A noun phrase and the kind of thing it names: its noun with the noun's classes."""

    text: str
    kind: frozenset[str]


class Details:
    """The details of one file. `sha256` is that of the file."""

    def __init__(self, uri: str = "") -> None:
        """Reads file or URI `uri`: `regions.parquet` of a dataset, or text with a detail a line;
        without one, the bundled list. Raises `UsageError`."""
        try:
            data = storage.read_all(uri) if uri else BUNDLED.read_bytes()
            texts = _region_texts(data) if uri.endswith(".parquet") else data.decode().splitlines()
        except (OSError, UnicodeDecodeError, pa.ArrowException, KeyError) as error:
            raise UsageError(
                f"half_truths.details: cannot read {uri}: {error} (give a dataset's "
                "regions.parquet, or a text file with a detail a line)"
            ) from None
        self.sha256 = hashlib.sha256(data).hexdigest()
        drawn = sorted(set(_usable(texts, bool(uri))), key=lambda one: (number(one.text), one.text))
        self._details = drawn[:MOST]
        if not self._details:
            raise UsageError(
                f"half_truths.details: {uri} has no usable detail, such as 'a red umbrella'"
            )

    def drawn(self, named: frozenset[str], seed: str, most: int) -> list[str]:
        """Returns up to `most` details, each of another kind than the others and than what is
        `named` (`kinds_of`). The same `seed` gives the same ones."""
        found: list[str] = []
        start, size = number(seed), len(self._details)
        for step in range(min(size, _TRIED)):
            detail = self._details[(start + step) % size]
            if len(found) < most and named.isdisjoint(detail.kind):
                found.append(detail.text)
                named |= detail.kind
        return found


def kinds_of(texts: Iterable[str]) -> frozenset[str]:
    """Returns what `texts` name: their words, nouns in the singular, and the nouns' classes."""
    found: set[str] = set()
    for text in texts:
        for word in words(text):
            found.add(word.lower)
            if noun := reading(word.lower).noun:
                found |= _kind(noun)
    return frozenset(found)


@lru_cache(20_000)
def _kind(noun: str) -> frozenset[str]:
    return frozenset((noun, *broader(noun))) - _ANY_KIND - {""}


def _usable(texts: Iterable[str], checked: bool) -> Iterator[Detail]:
    """Yields the details among texts; with `checked`, only singular things that are seldom left
    out of a caption."""
    for line in texts:
        text = line.strip().rstrip(".")
        found = words(text)
        if not found:
            continue
        if checked and not _is_seldom_left_out(found):
            continue
        kind: set[str] = set()
        for word in found:
            if noun := reading(word.lower).noun if word.head else "":
                kind |= _kind(noun)
        yield Detail(text, frozenset(kind | {found[-1].lower}))


def _is_seldom_left_out(found: tuple[Word, ...]) -> bool:
    noun = reading(found[-1].lower).noun
    return (
        found[0].lower in ("a", "an")
        and is_one_thing(found)
        and noun == found[-1].lower
        and noun not in _EVERYWHERE
        and category(noun) not in _PERSONS_AND_BODIES
    )


def _region_texts(data: bytes) -> Sequence[str]:
    """Returns the short expressions in a `regions.parquet` that verification did not reject."""
    table = pq.read_table(io.BytesIO(data), columns=["short_expr", "verified"])
    rows = zip(table["short_expr"].to_pylist(), table["verified"].to_pylist(), strict=True)
    return [text for text, verified in rows if verified is not False]
