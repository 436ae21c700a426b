"""From shards to batches: read, decoded, tokenised and packed in the workers, in a fixed order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from finehard.dataset.shard import UnreadableSample
from finehard.digest import number
from finehard.errors import FinehardError, typed_error_line
from finehard.fgclip.batch import Batch, Captions, Skipped
from finehard.fgclip.naflex import Naflex, Patches, Picture, batch_of, picture
from finehard.fgclip.packing import LONG, SHORT, Packing, Text, pack
from finehard.fgclip.padded import PaddedTexts, pad_texts
from finehard.fgclip.reader import ShardReader
from finehard.fgclip.sampler import SampleIndex, Sampler, Shard
from finehard.fgclip.targets import SampleConfig, Targets, select, text_id
from finehard.fgclip.tokenizer import Tokens
from finehard.fgclip.transform import square
from finehard.images import ImageError, ImagesConfig
from finehard.records import Box

_TRIED = 8
"""Batches that are tried in turn where no sample of one can be read."""


class Limits(NamedTuple):
    """The model's input sizes: image side in pixels, tokens of a short and of a long text.

    `patch` is the side of a patch in pixels where a model (SigLIP 2) takes NaFlex batches; its
    texts are padded, and it has no image side (0).
    """

    side: int
    short: int
    long: int
    patch: int | None = None


class Read(NamedTuple):
    """One sample, ready to be put into a batch."""

    key: str
    pixels: np.ndarray | Picture
    targets: Targets
    shard: str = ""


class Source:
    """Reads single samples of `shards`; boxes, texts and negatives are drawn with `seed`."""

    def __init__(
        self,
        shards: Sequence[Shard],
        config: SampleConfig,
        side: int,
        seed: int,
        cache_gb: float,
        patch: int | None = None,
    ) -> None:
        """`side` and `patch` are those of `Limits`."""
        self.reader = ShardReader(shards, cache_gb)
        self.config = config
        self._side = side
        self._naflex = None if patch is None else Naflex(patch, config.patches)
        self._seed = seed

    def read(self, index: SampleIndex, epoch: int) -> Read | Skipped:
        """The sample at `index` for `epoch`, or the reason why it cannot be read.

        Raises `FinehardError` if its shard is missing.
        """
        try:
            raw = self.reader.read(index)
            rng = random.Random(number(f"{self._seed} {epoch} {raw.key}"))
            targets = select(raw.sample, self.config, rng)
            boxes = [r.box for r in targets.regions]
            pixels, moved = self._decode(raw.image, boxes, self.reader.shards[index.shard].limits)
        except UnreadableSample as error:
            reason = error.reason
        except FinehardError:
            raise
        except (ImageError, ValueError) as error:
            reason = str(error)
        except Exception as error:  # whatever a sample holds, it ends no run
            reason = typed_error_line(error)
        else:
            regions = tuple(
                replace(r, box=box) for r, box in zip(targets.regions, moved, strict=True)
            )
            shard = self.reader.shards[index.shard].uri
            return Read(raw.key, pixels, replace(targets, regions=regions), shard)
        return Skipped(self.reader.key(index), self.reader.shards[index.shard].uri, reason[:200])

    def _decode(
        self, data: bytes, boxes: Sequence[Sequence[float]], limits: ImagesConfig
    ) -> tuple[np.ndarray | Picture, list[Box]]:
        reduced = self.config.reduced_decode
        if self._naflex:
            return picture(data, self._naflex, boxes, reduced, limits)
        return square(data, self._side, self.config.fit, boxes, reduced, limits)

    def left_out(self, index: SampleIndex, result: Read | Skipped) -> list[Skipped]:
        """What is not used at `index`: the sample or parts of it, and at the last sample of a shard
        the samples beyond its number in sizes.json."""
        shard = self.reader.shards[index.shard]
        found = [result] if isinstance(result, Skipped) else _parts(result, shard.uri)
        if index.sample == shard.samples - 1:
            reason = f"sizes.json has only {shard.samples} samples of its shard"
            found += [Skipped(key, shard.uri, reason) for key in self.reader.unlisted(index.shard)]
        return found


def _parts(read: Read, shard: str) -> list[Skipped]:
    targets, found = read.targets, []
    if targets.missing:
        found.append(Skipped(read.key, shard, targets.missing, "caption"))
    if targets.dropped:
        number = len(targets.dropped)
        found.append(Skipped(read.key, shard, targets.dropped[0], "regions", number))
    return found


def collate(
    samples: Sequence[Read], skipped: Sequence[Skipped], tokens: Tokens, limits: Limits
) -> Batch:
    """The batch of `samples`, with their texts tokenised and packed."""
    regions = [(i, r) for i, s in enumerate(samples) for r in s.targets.regions]
    hard = [
        (j, positive, false)
        for j, (_, r) in enumerate(regions)
        for positive, false in ((r.positive, r.negatives), (r.long, r.false_long))
        if false
    ]
    short = [(i, s.targets.short) for i, s in enumerate(samples) if s.targets.short]
    long = [(i, s.targets.long) for i, s in enumerate(samples) if s.targets.long]
    phrases = [r.text for _, r in regions]
    negatives = [n for _, _, false in hard for n in false]
    texts = [(SHORT, tokens(t, limits.short)) for _, t in short]
    texts += [(LONG, tokens(t, limits.long)) for _, t in long]
    rest = [*phrases, *(positive for _, positive, _ in hard), *negatives]
    texts += [(SHORT, tokens(t, limits.short)) for t in rest]
    told = [
        (image, one, *pair)
        for image, s in enumerate(samples)
        for one, pairs in ((SHORT, s.targets.told_short), (LONG, s.targets.told_long))
        for pair in pairs
    ]
    most = {SHORT: limits.short, LONG: limits.long}
    texts += [(one, tokens(t, most[one])) for _, one, t, _ in told]
    texts += [(one, tokens(t, most[one])) for _, one, _, false in told for t in false]
    packing: Packing | PaddedTexts
    if limits.patch is None:
        packing, which = pack(texts)
        images = [s.pixels for s in samples if isinstance(s.pixels, np.ndarray)]
        pixels: Tensor | Patches = torch.from_numpy(np.stack(images))
    else:
        packing, which = pad_texts(texts, (limits.short, limits.long), tokens.padding)
        pictures = [s.pixels for s in samples if isinstance(s.pixels, Picture)]
        pixels = batch_of(pictures, limits.patch)
    sizes = [len(g) for g in (short, long, phrases, hard, negatives, told)]
    sizes.append(len(which) - sum(sizes))
    rows = torch.tensor(which, dtype=torch.int64).split(sizes)
    counts = [len(false) for *_, false in hard]
    half_truths = Captions(
        torch.tensor([image for image, *_ in told], dtype=torch.int64),
        rows[5],
        torch.tensor([one == LONG for _, one, *_ in told], dtype=torch.bool),
        _table(rows[6], [len(false) for *_, false in told]),
    )
    return Batch(
        pixels=pixels,
        packing=packing,
        short=rows[0],
        long=rows[1],
        short_images=torch.tensor([i for i, _ in short], dtype=torch.int64),
        long_images=torch.tensor([i for i, _ in long], dtype=torch.int64),
        boxes=torch.tensor([r.box for _, r in regions], dtype=torch.float32).reshape(-1, 4),
        images=torch.tensor([i for i, _ in regions], dtype=torch.int64),
        regions=rows[2],
        hard_boxes=torch.tensor([j for j, *_ in hard], dtype=torch.int64),
        positives=rows[3],
        negatives=_table(rows[4], counts),
        short_same=_same([t for _, t in short]),
        long_same=_same([t for _, t in long]),
        region_same=_same(phrases),
        positive_same=_same([positive for _, positive, _ in hard]),
        negative_same=_table(_same(negatives), counts),
        region_text=_token_ids(texts[len(short) + len(long) :][: len(phrases)]),
        half_truths=half_truths if told else None,
        keys=tuple(s.key for s in samples),
        shards=tuple(s.shard for s in samples),
        captions=tuple((s.targets.long, s.targets.short) for s in samples),
        skipped=tuple(skipped),
        tokens=sum(len(t) for _, t in texts),
    )


def _token_ids(texts: Sequence[tuple[int, Text]]) -> Tensor:
    """Returns a 63-bit number for each text, equal for equal tokens."""
    ids = [number(" ".join(map(str, tokens))) >> 1 for _, tokens in texts]
    return torch.tensor(ids, dtype=torch.int64)


def _table(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Returns (H, K) rows of `counts` values each, padded with -1."""
    table = torch.full((len(counts), max(counts, default=0)), -1, dtype=torch.int64)
    for row, part in zip(table, values.split(list(counts)), strict=True):
        row[: len(part)] = part
    return table


def _same(texts: Sequence[str]) -> Tensor:
    return torch.tensor([text_id(t) for t in texts], dtype=torch.int64)


class Part(NamedTuple):
    """Which samples of each batch one process takes: `images` of them, `share` of `shares`."""

    images: int
    share: int = 0
    shares: int = 1


class Batches(Dataset[Batch]):
    """Maps a batch number to this process's part of the batch; numbers continue across epochs.

    A batch has `part.images` images in each process, fewer where some cannot be read. The rest of
    an epoch is dropped, or with `keep_last`, which is for evaluation, makes a smaller batch.
    Batches can be accessed in any order, process or worker.
    """

    def __init__(
        self,
        source: Source,
        sampler: Sampler,
        part: Part,
        tokens: Tokens,
        limits: Limits,
        keep_last: bool = False,
    ) -> None:
        self._source, self._sampler, self._part = source, sampler, part
        self._tokens, self._limits = tokens, limits
        self.keep_last = keep_last
        self.images = part.images * part.shares
        self.per_epoch = (sampler.total + (self.images - 1) * keep_last) // self.images

    def __getitem__(self, index: int) -> Batch:
        """Batch `index`; if none of its samples can be read, the next one of the epoch instead.

        Raises `NothingReadable` if some batches in a row cannot be read, with `keep_last` if one.
        """
        skipped: list[Skipped] = []
        epoch, within = divmod(index, self.per_epoch)
        for tried in range(1 if self.keep_last else min(_TRIED, self.per_epoch)):
            samples, new = self._read(epoch, (within + tried) % self.per_epoch)
            skipped += new
            if samples:
                return collate(samples, skipped, self._tokens, self._limits)
        first = skipped[0]
        raise NothingReadable(
            f"none of {len(skipped)} samples could be read; {first.key} of {first.shard}: "
            f"{first.reason}"
        )

    def singly(self, index: int) -> list[Batch]:
        """Returns the samples of batch `index` that can be read, each as a batch of its own."""
        samples, _ = self._read(*divmod(index, self.per_epoch))
        return [collate([sample], (), self._tokens, self._limits) for sample in samples]

    def _read(self, epoch: int, within: int) -> tuple[list[Read], list[Skipped]]:
        images, share, shares = self._part
        start = (within * shares + share) * images
        stop = min(start + images, self._sampler.total)
        samples, skipped = [], []
        for index in self._sampler.indices(epoch, start, stop):
            result = self._source.read(index, epoch)
            skipped += self._source.left_out(index, result)
            if isinstance(result, Read):
                samples.append(result)
        return samples, skipped


class NothingReadable(FinehardError):
    """None of a batch's samples can be read."""


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


class _Caught(Dataset[Any]):
    """Returns errors as values; a worker would turn them into a traceback."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __getitem__(self, index: int) -> Batch | FinehardError:
        try:
            return self._batches[index]
        except FinehardError as error:
            return error


def stream(batches: Batches, numbers: Sequence[int], workers: int) -> Iterator[Batch]:
    """The batches `numbers`, in order, prepared ahead by `workers` processes (0: in this one).

    In an evaluation, batches of which nothing can be read are left out. Raises `FinehardError`.
    """
    loader = DataLoader(
        _Caught(batches),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_one_thread if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    unreadable, found = None, False
    for batch in loader:
        if isinstance(batch, NothingReadable) and batches.keep_last:
            unreadable = unreadable or batch
        elif isinstance(batch, FinehardError):
            raise batch
        else:
            found = True
            yield batch
    if unreadable and not found:
        raise unreadable
