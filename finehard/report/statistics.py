"""The numbers of a dataset: exact ones from index, manifest and rejects; others from a sample.

The index is read in batches into counts per value, so memory does not grow with the dataset.
Scores, box sizes, words and negatives are in no index: they are counted in samples drawn with a
seed, and every such number is marked with how many samples it rests on.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from finehard.dataset.reader import Dataset
from finehard.io import storage
from finehard.phrases import Extraction
from finehard.report.expressions import Expressions, finder

SAMPLED = 1_000
"""Samples whose texts are read for what the index does not hold."""
REJECTS_PER_REASON = 4
WHERE = ["key", "shard", "image_offset", "image_size", "json_offset", "json_size"]
_COUNTED = ("regions", "hard_negatives", "long_words", "short_words", "width", "height")
_MOST = 65_535
"""Larger values count as this one."""


@dataclass
class Counts:
    """How often each whole number from 0 occurs."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def add(self, values: Any) -> None:
        """Counts an array of whole numbers in."""
        more = np.bincount(np.clip(values, 0, _MOST))
        if len(more) > len(self.counts):
            more[: len(self.counts)] += self.counts
            self.counts = more
        else:
            self.counts[: len(more)] += more

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    def mean(self) -> float:
        """The mean; 0 where nothing was counted."""
        return float(self.counts @ np.arange(len(self.counts)) / max(1, self.total))

    def quantile(self, share: float) -> int:
        """The smallest value that `share` of all values do not exceed; 0 where there are none."""
        return int(np.searchsorted(np.cumsum(self.counts), max(1e-9, share * self.total)))

    def bins(self, most: int = 20) -> list[tuple[str, int]]:
        """At most `most` + 1 bins of equal width as (label, count); the last may be "N+"."""
        if not self.total:
            return []
        low, high = self.quantile(0), self.quantile(0.995)
        width = _step((high - low + 1) / most)
        low -= low % width
        bins = []
        for start in range(low, high + 1, width):
            number = int(self.counts[start : start + width].sum())
            label = f"{start}" if width == 1 else f"{start}-{start + width - 1}"
            bins.append((label, number))
        rest = int(self.counts[low + width * len(bins) :].sum())
        return [*bins, (f"{low + width * len(bins)}+", rest)] if rest else bins


def _step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is not less than `least`."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step >= least:
                return step
        power *= 10


@dataclass
class Indexed:
    """What the index tells: exact. `drawn` are the rows of the samples that were drawn."""

    samples: int
    columns: dict[str, Counts]
    drawn: list[dict[str, Any]]


@dataclass
class Sampled:
    """What was counted in the texts of `samples` samples."""

    samples: int = 0
    regions: int = 0
    scores: Counts = field(default_factory=Counts)
    """In hundredths."""
    areas: Counts = field(default_factory=Counts)
    """Boxes' shares of their image, in per cent."""
    attributes: Counter[str] = field(default_factory=Counter)
    swaps: Counter[str] = field(default_factory=Counter)
    nouns: Counter[str] = field(default_factory=Counter)
    adjectives: Counter[str] = field(default_factory=Counter)
    regions_verified: Counter[str] = field(default_factory=Counter)
    negatives_verified: Counter[str] = field(default_factory=Counter)
    same_long_caption: int = 0
    """Samples whose long caption occurred before, word for word."""
    expressions: Expressions = field(default_factory=Expressions)


@dataclass
class Rejected:
    """How many inputs were rejected by (stage, reason), and examples of each reason."""

    counts: Counter[tuple[str, str]]
    examples: dict[str, list[dict[str, str]]]


@dataclass
class Statistics:
    """All numbers of a dataset."""

    indexed: Indexed
    sampled: Sampled
    rejected: Rejected
    caption_tokens: Counts
    """Of replies with both captions, as the model's server counted them."""


def gather(
    dataset: Dataset, seed: int = 0, sampled: int = SAMPLED
) -> tuple[Statistics, list[dict[str, Any]]]:
    """The numbers of `dataset`, and the samples that were drawn, at most 64 of them.

    Raises `UsageError` where the dataset is damaged.
    """
    indexed = scan(dataset, seed, sampled)
    kept: list[dict[str, Any]] = []

    def keep(samples: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for sample in samples:
            if len(kept) < 64:
                kept.append(sample)
            yield sample

    texts = read_texts(keep(dataset.samples(indexed.drawn)), finder(dataset.manifest))
    tokens = caption_tokens(dataset, seed, sampled)
    return Statistics(indexed, texts, rejects(dataset, seed), tokens), kept


def scan(dataset: Dataset, seed: int, sampled: int) -> Indexed:
    """Counts the index's columns, and draws `sampled` of its rows, in an order of chance."""
    total = dataset.manifest["counts"]["written"]
    order = random.Random(seed).sample(range(total), min(sampled, total))
    wanted = np.array(sorted(order), np.int64)
    columns = {name: Counts() for name in _COUNTED}
    found: dict[int, dict[str, Any]] = {}
    start = 0
    for batch in dataset.rows([*WHERE, *_COUNTED]):
        for name in _COUNTED:
            columns[name].add(batch.column(name).to_numpy(zero_copy_only=False))
        here = wanted[(wanted >= start) & (wanted < start + len(batch))]
        if len(here):
            rows = batch.take((here - start).tolist()).select(WHERE).to_pylist()
            found.update(zip(here.tolist(), rows, strict=True))
        start += len(batch)
    return Indexed(start, columns, [found[place] for place in order if place in found])


def read_texts(
    samples: Iterator[dict[str, Any]], extract: Callable[[str], Extraction] | None = None
) -> Sampled:
    """What the texts and boxes of `samples` tell. `extract` gives a caption's expressions."""
    told = Sampled()
    words = _words()
    captions: set[str] = set()
    scores, areas = [], []
    for sample in samples:
        told.samples += 1
        caption = sample["long_caption"]
        told.same_long_caption += caption in captions
        captions.add(caption)
        words(caption, told)
        if extract is not None:
            told.expressions.add(sample, extract(caption))
        for region in sample["regions"]:
            told.regions += 1
            x1, y1, x2, y2 = region["box"]
            scores.append(region["score"] * 100)
            areas.append((x2 - x1) * (y2 - y1) * 100)
            told.regions_verified[_answer(region["verified"])] += 1
            for negative in region["hard_negatives"]:
                told.attributes[negative["attribute"]] += 1
                told.swaps[f"{negative['original']} → {negative['replacement']}".lower()] += 1
                told.negatives_verified[_answer(negative["verified"])] += 1
    told.scores.add(np.array(scores).astype(np.int64))
    told.areas.add(np.array(areas).astype(np.int64))
    return told


def _answer(verified: bool | None) -> str:
    return "not asked" if verified is None else "confirmed" if verified else "not confirmed"


def _words() -> Callable[[str, Sampled], None]:
    """A function that counts the head nouns and adjectives of a caption's noun phrases in."""
    from finehard.phrases.docs import parser, read

    parse = parser("wordnet", "")

    def count(caption: str, told: Sampled) -> None:
        tokens, chunks = read(parse(caption[:5_000]))
        for chunk in chunks:
            if chunk.head >= 0 and tokens.tags[chunk.head] in ("NOUN", "PROPN"):
                told.nouns[tokens.lemmas[chunk.head] or tokens.lower[chunk.head]] += 1
            for place in range(chunk.start, chunk.end):
                if tokens.tags[place] == "ADJ":
                    told.adjectives[tokens.lower[place]] += 1

    return count


def caption_tokens(dataset: Dataset, seed: int, most: int) -> Counts:
    """Tokens of about `most` caption replies that were right at once, from the journal; none
    where it was taken away, or the server counted none."""
    counts = Counts()
    stage = dataset.manifest["stages"].get("caption", {}).get("fingerprint")
    if not stage:
        return counts
    files = storage.glob(storage.join(dataset.uri, "_journal", "caption", stage), "")
    random.Random(seed).shuffle(files)
    for file in files:
        try:
            with storage.open_read(file.uri) as opened:
                table = pq.read_table(opened, columns=["requests", "completion_tokens"])
        except (OSError, pa.ArrowException):
            continue
        requests, tokens = (column.to_numpy() for column in table.columns)
        counts.add(tokens[(requests == 1) & (tokens > 0)])
        if counts.total >= most:
            break
    return counts


def rejects(dataset: Dataset, seed: int) -> Rejected:
    """Counts all rejects by stage and reason; examples come from files in an order of chance."""
    found = Rejected(Counter(), {})
    files = storage.glob(storage.join(dataset.uri, "rejected"), "")
    random.Random(seed).shuffle(files)
    for file in files:
        with storage.open_read(file.uri) as opened:
            table = pq.read_table(opened)
        stages = table.column("stage").to_pylist()
        reasons = table.column("reason").to_pylist()
        found.counts.update(zip(stages, reasons, strict=True))
        for row, reason in enumerate(reasons):
            examples = found.examples.setdefault(reason, [])
            if len(examples) < REJECTS_PER_REASON:
                examples += table.slice(row, 1).to_pylist()
    return found
