"""The statistics of a dataset: exact where index, manifest and rejects suffice, else sampled.

The index is read in batches and counted by value, so memory does not grow with the dataset. Scores,
box sizes, words and hard negatives are not in the index; they are counted in samples drawn with a
seed, and such statistics always come with the number of samples behind them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finehard.dataset.reader import LOCATION, Dataset
from finehard.dataset.shard import Sample
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.phrases import Extraction
from finehard.rejects import REMOVED
from finehard.report.expressions import Expressions, build_extractor
from finehard.state.reply_tokens import reply_tokens

SAMPLED = 1_000
"""Samples that are read for statistics which the index does not give."""
REJECTS_PER_REASON = 4
_SHOWN = 64
"""Drawn samples that are returned to be shown, at most."""
_COUNTED = ("regions", "hard_negatives", "long_words", "short_words", "width", "height")
_LARGEST = 65_535
"""Larger values are counted as this one."""


@dataclass
class Counts:
    """How often each integer from 0 occurs."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def add(self, values: Any) -> None:
        """Adds the values of an integer array."""
        more = np.bincount(np.clip(values, 0, _LARGEST))
        if len(more) > len(self.counts):
            more[: len(self.counts)] += self.counts
            self.counts = more
        else:
            self.counts[: len(more)] += more

    @property
    def total(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    def mean(self) -> float:
        """The mean; 0 if there are no values."""
        return float(self.counts @ np.arange(len(self.counts)) / max(1, self.total))

    def quantile(self, share: float) -> int:
        """The smallest value that `share` of all values do not exceed; 0 if there are none."""
        return int(np.searchsorted(np.cumsum(self.counts), max(1e-9, share * self.total)))

    def bins(self, most: int = 20) -> list[tuple[str, int]]:
        """The counts between `edges` as (label, count)."""
        return [(label, int(self.counts[a:b].sum())) for label, a, b in self.edges(most)]

    def edges(self, most: int = 20) -> list[tuple[str, int, int | None]]:
        """At most `most` + 1 bins of equal width as (label, first value, first value of the next);
        the last may be "N+", without an end."""
        if not self.total:
            return []
        low, high = self.quantile(0), self.quantile(0.995)
        width = _step((high - low + 1) / most)
        low -= low % width
        edges: list[tuple[str, int, int | None]] = []
        for start in range(low, high + 1, width):
            label = f"{start}" if width == 1 else f"{start}-{start + width - 1}"
            edges.append((label, start, start + width))
        end = low + width * len(edges)
        return [*edges, (f"{end}+", end, None)] if self.counts[end:].any() else edges


def _step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is at least `least`."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step >= least:
                return step
        power *= 10


@dataclass
class Indexed:
    """Counts over the whole index, and the rows of the samples that were drawn from it."""

    samples: int
    columns: dict[str, Counts]
    drawn: list[dict[str, Any]]


@dataclass
class Sampled:
    """Counts over the annotations of `samples` drawn samples."""

    samples: int = 0
    regions: int = 0
    scores: Counts = field(default_factory=Counts)
    """In hundredths."""
    areas: Counts = field(default_factory=Counts)
    """Area of boxes, in per cent of the image."""
    attributes: Counter[str] = field(default_factory=Counter)
    swaps: Counter[str] = field(default_factory=Counter)
    nouns: Counter[str] = field(default_factory=Counter)
    adjectives: Counter[str] = field(default_factory=Counter)
    regions_verified: Counter[str] = field(default_factory=Counter)
    negatives_verified: Counter[str] = field(default_factory=Counter)
    repeated_long_captions: int = 0
    """Samples whose long caption is identical to that of an earlier one."""
    expressions: Expressions = field(default_factory=Expressions)


@dataclass
class Rejected:
    """How many inputs were rejected by (stage, reason), and examples of each reason."""

    counts: Counter[tuple[str, str]]
    examples: dict[str, list[dict[str, str]]]


@dataclass
class Statistics:
    """All statistics of a dataset."""

    indexed: Indexed
    sampled: Sampled
    rejected: Rejected
    caption_tokens: Counts
    """Completion tokens of caption replies, as counted by the model server."""


def gather(
    dataset: Dataset, seed: int = 0, sampled: int = SAMPLED
) -> tuple[Statistics, list[Sample]]:
    """The statistics of `dataset`, and the first 64 of the samples that were drawn for them.

    Raises `UsageError` if the dataset is damaged.
    """
    indexed = scan(dataset, seed, sampled)
    shown: list[Sample] = []

    def annotations() -> Iterator[dict[str, Any]]:
        for sample in dataset.read_ahead(map(dataset.sample_at, indexed.drawn)):
            if len(shown) < _SHOWN:
                shown.append(sample)
            yield sample.json

    texts = count_texts(annotations(), build_extractor(dataset.manifest))
    tokens = caption_tokens(dataset, seed, sampled)
    return Statistics(indexed, texts, rejects(dataset, seed), tokens), shown


def scan(dataset: Dataset, seed: int, sampled: int) -> Indexed:
    """Counts the index's columns, and draws `sampled` of its rows, in random order."""
    total = dataset.manifest["counts"]["written"]
    order = random.Random(seed).sample(range(total), min(sampled, total))
    wanted = np.array(sorted(order), np.int64)
    columns = {name: Counts() for name in _COUNTED}
    drawn: dict[int, dict[str, Any]] = {}
    start = 0
    for batch in dataset.rows([*LOCATION, *_COUNTED]):
        for name in _COUNTED:
            columns[name].add(batch.column(name).to_numpy(zero_copy_only=False))
        here = wanted[(wanted >= start) & (wanted < start + len(batch))]
        if len(here):
            rows = batch.take((here - start).tolist()).select(LOCATION).to_pylist()
            drawn.update(zip(here.tolist(), rows, strict=True))
        start += len(batch)
    return Indexed(start, columns, [drawn[number] for number in order if number in drawn])


def counted(dataset: Dataset) -> dict[str, Counts]:
    """Counts the index's columns of numbers."""
    columns = {name: Counts() for name in _COUNTED}
    for batch in dataset.rows(list(_COUNTED)):
        for name, counts in columns.items():
            counts.add(batch.column(name).to_numpy(zero_copy_only=False))
    return columns


def count_texts(
    samples: Iterator[dict[str, Any]], extract: Callable[[str], Extraction] | None = None
) -> Sampled:
    """Counts over the annotations `samples`; `extract` extracts a caption's noun phrases."""
    counted = Sampled()
    count_words = _word_counter()
    captions: set[str] = set()
    scores, areas = [], []
    for sample in samples:
        counted.samples += 1
        caption = sample["long_caption"]
        counted.repeated_long_captions += caption in captions
        captions.add(caption)
        count_words(caption, counted)
        if extract is not None:
            counted.expressions.add(sample, extract(caption))
        for region in sample["regions"]:
            counted.regions += 1
            x1, y1, x2, y2 = region["box"]
            scores.append(region["score"] * 100)
            areas.append((x2 - x1) * (y2 - y1) * 100)
            counted.regions_verified[_verdict(region["verified"])] += 1
            for negative in region["hard_negatives"]:
                counted.attributes[negative["attribute"]] += 1
                counted.swaps[f"{negative['original']} → {negative['replacement']}".lower()] += 1
                counted.negatives_verified[_verdict(negative["verified"])] += 1
    counted.scores.add(np.array(scores).astype(np.int64))
    counted.areas.add(np.array(areas).astype(np.int64))
    return counted


def _verdict(verified: bool | None) -> str:
    return "not asked" if verified is None else "confirmed" if verified else "not confirmed"


def _word_counter() -> Callable[[str, Sampled], None]:
    """A function that counts the head nouns and the adjectives of a caption's noun phrases."""
    from finehard.phrases.docs import reader

    read = reader("wordnet", "")

    def count(caption: str, counted: Sampled) -> None:
        tokens, chunks = read(caption[:5_000])
        for chunk in chunks:
            if chunk.head >= 0 and tokens.tags[chunk.head] in ("NOUN", "PROPN"):
                counted.nouns[tokens.lemmas[chunk.head] or tokens.lower[chunk.head]] += 1
            for number in range(chunk.start, chunk.end):
                if tokens.tags[number] == "ADJ":
                    counted.adjectives[tokens.lower[number]] += 1

    return count


def caption_tokens(dataset: Dataset, seed: int, most: int) -> Counts:
    """Tokens of about `most` caption replies, from the journal; empty if the dataset was copied
    without it or the server did not count tokens."""
    counts = Counts()
    fingerprint = dataset.manifest["stages"].get("caption", {}).get("fingerprint")
    if fingerprint:
        for tokens in reply_tokens(dataset.uri, "caption", fingerprint, seed):
            counts.add(tokens)
            if counts.total >= most:
                break
    return counts


def rejects(dataset: Dataset, seed: int) -> Rejected:
    """Counts all rejects by stage and reason; examples are taken from files in random order. What
    was removed on request is not shown."""
    rejected = Rejected(Counter(), {})
    files = storage.glob(storage.join(dataset.uri, "rejected"), "")
    random.Random(seed).shuffle(files)
    for file in files:
        with storage.open_read(file.uri) as opened:
            table = read_table(opened)
        stages = table.column("stage").to_pylist()
        reasons = table.column("reason").to_pylist()
        rejected.counts.update(zip(stages, reasons, strict=True))
        for row, reason in enumerate(reasons):
            examples = rejected.examples.setdefault(reason, [])
            if len(examples) < REJECTS_PER_REASON and reason != REMOVED:
                examples += table.slice(row, 1).to_pylist()
    return rejected
