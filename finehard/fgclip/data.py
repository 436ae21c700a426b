"""From shards to batches: read, decoded, tokenised and packed in the workers, in a fixed order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from finehard.dataset.shard import UnreadableSample
from finehard.digest import number
from finehard.errors import FinehardError
from finehard.fgclip.batch import Batch, Skipped
from finehard.fgclip.packing import LONG, SHORT, pack
from finehard.fgclip.reader import ShardReader
from finehard.fgclip.sampler import SampleIndex, Sampler, Shard
from finehard.fgclip.targets import SampleConfig, Targets, select, text_id
from finehard.fgclip.tokenizer import Tokens
from finehard.fgclip.transform import square
from finehard.images import ImageError


class Limits(NamedTuple):
    """The model's input sizes: image side in pixels, tokens of a short and of a long text."""

    side: int
    short: int
    long: int


class Read(NamedTuple):
    """One sample, ready to be put into a batch."""

    key: str
    pixels: np.ndarray
    targets: Targets


class Source:
    """Reads single samples of `shards`; boxes, texts and negatives are drawn with `seed`."""

    def __init__(
        self, shards: Sequence[Shard], config: SampleConfig, side: int, seed: int, cache_gb: float
    ) -> None:
        self.reader = ShardReader(shards, cache_gb)
        self.config = config
        self._side = side
        self._seed = seed

    def read(self, index: SampleIndex, epoch: int) -> Read | Skipped:
        """The sample at `index` for `epoch`, or the reason why it cannot be read."""
        try:
            raw = self.reader.read(index)
            rng = random.Random(number(f"{self._seed} {epoch} {raw.key}"))
            targets = select(raw.sample, self.config, rng)
            boxes = [r.box for r in targets.regions]
            pixels, moved = square(
                raw.image, self._side, self.config.fit, boxes, self.config.reduced_decode
            )
        except UnreadableSample as error:
            reason = error.reason
        except ImageError as error:
            reason = str(error)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = repr(error)
        else:
            regions = tuple(
                type(r)(box, r.text, r.positive, r.negatives)
                for r, box in zip(targets.regions, moved, strict=True)
            )
            return Read(raw.key, pixels, Targets(targets.short, targets.long, regions))
        return Skipped(self.reader.key(index), self.reader.shards[index.shard].uri, reason[:200])


def collate(
    samples: Sequence[Read], skipped: Sequence[Skipped], tokens: Tokens, limits: Limits
) -> Batch:
    """The batch of `samples`, with their texts tokenised and packed."""
    regions = [(i, r) for i, s in enumerate(samples) for r in s.targets.regions]
    hard = [(j, r) for j, (_, r) in enumerate(regions) if r.negatives]
    short = [s.targets.short for s in samples]
    long = [s.targets.long for s in samples]
    phrases = [r.text for _, r in regions]
    negatives = [n for _, r in hard for n in r.negatives]
    texts = [(SHORT, tokens(t, limits.short)) for t in short]
    texts += [(LONG, tokens(t, limits.long)) for t in long]
    rest = [*phrases, *(r.positive for _, r in hard), *negatives]
    texts += [(SHORT, tokens(t, limits.short)) for t in rest]
    packing, which = pack(texts)
    sizes = [len(g) for g in (short, long, phrases, hard, negatives)]
    rows = torch.tensor(which, dtype=torch.int64).split(sizes)
    most = max((len(r.negatives) for _, r in hard), default=0)
    table = torch.full((len(hard), most), -1, dtype=torch.int64)
    start = 0
    for i, (_, r) in enumerate(hard):
        table[i, : len(r.negatives)] = rows[4][start : start + len(r.negatives)]
        start += len(r.negatives)
    return Batch(
        pixels=torch.from_numpy(np.stack([s.pixels for s in samples])),
        packing=packing,
        short=rows[0],
        long=rows[1],
        boxes=torch.tensor([r.box for _, r in regions], dtype=torch.float32).reshape(-1, 4),
        images=torch.tensor([i for i, _ in regions], dtype=torch.int64),
        regions=rows[2],
        hard_boxes=torch.tensor([j for j, _ in hard], dtype=torch.int64),
        positives=rows[3],
        negatives=table,
        short_same=_same(short),
        long_same=_same(long),
        region_same=_same(phrases),
        keys=tuple(s.key for s in samples),
        skipped=tuple(skipped),
        tokens=sum(len(t) for _, t in texts),
    )


def _same(texts: Sequence[str]) -> Tensor:
    return torch.tensor([text_id(t) for t in texts], dtype=torch.int64)


class Part(NamedTuple):
    """Which samples of each batch one process takes: `images` of them, `share` of `shares`."""

    images: int
    share: int = 0
    shares: int = 1


class Batches(Dataset[Batch]):
    """Maps a batch number to this process's part of the batch; numbers continue across epochs.

    A batch has `part.images` images in each process. The rest of an epoch is dropped, or with
    `keep_last` makes a smaller batch. Batches can be accessed in any order, process or worker.
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
        images = part.images * part.shares
        self.per_epoch = (sampler.total + (images - 1) * keep_last) // images

    def __getitem__(self, index: int) -> Batch:
        """Batch `index`. Raises `FinehardError` if none of its samples can be read."""
        images, share, shares = self._part
        epoch, within = divmod(index, self.per_epoch)
        start = (within * shares + share) * images
        results = [
            self._source.read(sample, epoch)
            for sample in self._sampler.indices(
                epoch, start, min(start + images, self._sampler.total)
            )
        ]
        skipped = [s for s in results if isinstance(s, Skipped)]
        samples = [s for s in results if isinstance(s, Read)]
        if not samples:
            worst = skipped[0]
            raise FinehardError(
                f"none of {len(skipped)} samples could be read; {worst.key} of {worst.shard}: "
                f"{worst.reason}"
            )
        return collate(samples, skipped, self._tokens, self._limits)


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


def stream(batches: Batches, numbers: range, workers: int) -> Iterator[Batch]:
    """The batches `numbers`, in order, prepared ahead by `workers` processes (0: in this one)."""
    loader = DataLoader(
        _Caught(batches),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_one_thread if workers else None,
    )
    for batch in loader:
        if isinstance(batch, FinehardError):
            raise batch
        yield batch
