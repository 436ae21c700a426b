"""The items of the pipeline: small records that refer to an image, never holding its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from unicodedata import category

from finehard.rejects import meaning

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2, normalised to [0, 1] over the displayed (EXIF-rotated) image."""


def one_line(text: str) -> str:
    """Returns `text` with white space collapsed and invisible characters removed: controls,
    direction marks, lone surrogates."""
    text = " ".join(text.split())
    if text.isprintable():
        return text
    seen = (" " if c.isspace() else c for c in text if c.isspace() or category(c) not in _UNSEEN)
    return " ".join("".join(seen).split())


_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


class Bytes(NamedTuple):
    """A range of a file: `length` bytes of `uri` from `offset`."""

    uri: str
    offset: int
    length: int


class Usage(NamedTuple):
    """The cost of one sample at one stage, in requests and tokens."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class HardNegative:
    """`text` is a region's short expression with `original` replaced: false of the region."""

    text: str
    attribute: str
    original: str
    replacement: str
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A box and its texts. `phrase` is what the detector was asked for."""

    box: Box
    score: float
    phrase: str
    short_expr: str
    long_expr: str
    hard_negatives: tuple[HardNegative, ...] = ()
    verified: bool | None = None


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase of the long caption (`text`) and its longer form (`long`)."""

    text: str
    head: str
    long: str


class Dropped(NamedTuple):
    """The number of items that a rule dropped from a sample, and the first of them as text."""

    number: int
    first: str


@dataclass(frozen=True, slots=True)
class Record:
    """One image on its way through the stages; each returns a copy with more fields filled in."""

    key: str
    source: str
    unit: str
    image: Bytes
    sha256: str
    alt_text: str | None = None
    url: str | None = None
    license: str | None = None
    format: str = ""
    width: int = 0
    height: int = 0
    short_caption: str = ""
    long_caption: str = ""
    phrases: tuple[Phrase, ...] = ()
    regions: tuple[Region, ...] = ()
    usage: dict[str, Usage] = field(default_factory=dict)
    dropped: dict[str, Dropped] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    """What a user's own stages add to the sample, JSON-ready, by stage name."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the source says of the image in the columns of `source.metadata`; in no sample."""

    def adding(self, stage: str, value: Any) -> Record:
        """Returns this record with `value`, JSON-ready, as what `stage` adds to the sample."""
        return replace(self, extra={**self.extra, stage: value})

    def spent(self, stage: str, usage: Usage) -> Record:
        """Returns this record with the cost of `stage` added."""
        return replace(self, usage={**self.usage, stage: usage})

    def dropping(self, stage: str, left_out: Mapping[str, Sequence[str]]) -> Record:
        """Returns this record with the items that `stage` left out, by rule, counted."""
        dropped = {
            f"{stage}.{rule}": Dropped(len(items), one_line(items[0])[:200])
            for rule, items in left_out.items()
            if items
        }
        return replace(self, dropped={**self.dropped, **dropped})


@dataclass(frozen=True, slots=True)
class Reject:
    """An input that did not become a sample, and why: a row of `rejected/*.parquet`."""

    key: str
    source: str
    stage: str
    reason: str
    detail: str
    unit: str = ""
    usage: dict[str, Usage] = field(default_factory=dict)

    def spent(self, stage: str, usage: Usage) -> Reject:
        """Returns this reject with what `stage` cost added."""
        return replace(self, usage={**self.usage, stage: usage})

    def __post_init__(self) -> None:
        if meaning(self.reason) is None:
            raise ValueError(f"unknown reject reason {self.reason!r}")


def reject(record: Record, stage: str, reason: str, detail: str = "") -> Reject:
    """Returns the reject of `record` at `stage`; `detail` is cut to 300 characters."""
    return Reject(record.key, record.source, stage, reason, detail[:300], record.unit, record.usage)


def _newer(record: Record) -> bool:
    """Whether a record has attributes that version 1.0 of the data contract does not know."""
    given = (negative.attribute for r in record.regions for negative in r.hard_negatives)
    return not {"addition", "relation"}.isdisjoint(given)


def sample_json(record: Record, provenance: dict[str, Any]) -> dict[str, Any]:
    """Returns `record` as a sample of the data contract (schemas/sample.schema.json).

    Keys are in the contract's order; `provenance` maps stage to model, revision and fingerprint.
    """
    extra = {"extra": record.extra} if record.extra else {}
    return {
        "schema_version": "1.1" if extra or _newer(record) else "1.0",
        "key": record.key,
        "image": {
            "width": record.width,
            "height": record.height,
            "format": record.format,
            "sha256": record.sha256,
            "source_uri": record.source,
            "url": record.url,
            "license": record.license,
        },
        "alt_text": record.alt_text,
        "short_caption": record.short_caption,
        "long_caption": record.long_caption,
        "regions": [
            {
                "box": list(region.box),
                "score": region.score,
                "phrase": region.phrase,
                "short_expr": region.short_expr,
                "long_expr": region.long_expr,
                "hard_negatives": [
                    {
                        "text": negative.text,
                        "attribute": negative.attribute,
                        "original": negative.original,
                        "replacement": negative.replacement,
                        "verified": negative.verified,
                    }
                    for negative in region.hard_negatives
                ],
                "verified": region.verified,
            }
            for region in record.regions
        ],
        "provenance": provenance,
        **extra,
    }
