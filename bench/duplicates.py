"""Copies planted among 20,000 rendered scenes and photographs: how many are found, and what is
wrongly taken for a copy; then time and memory by the number of pictures.

`python -m bench.duplicates [--scenes 20000] [--altered 250] [--photos FOLDER] [--timed 250000]`.
Rendered scenes are much alike (walls, tables, a few things), so they are hard to tell apart.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.altered import ALTERATIONS
from bench.measure import verdict
from finehard.curate.bands import BANDS
from finehard.curate.candidates import WithinBand, best, verified
from finehard.curate.clusters import clusters
from finehard.curate.compare import Look
from finehard.curate.config import CopiesConfig
from finehard.curate.copies import TOGETHER
from finehard.curate.evaluation import SCHEMA, Evaluation, EvaluationPicture, row_of
from finehard.curate.fingerprint import Fingerprint, fingerprint
from finehard.demo.render import encode, render
from finehard.images import ANY_SIDE, decode
from finehard.sources import Loaded, SourceConfig, read, survey, units

EVALUATION = 200
"""Scenes that stand for an evaluation set; their seed is the next."""
_FLIPPED = "flipped"


def scene(seed: int, index: int) -> Image.Image:
    """Returns a scene as it is in a file."""
    picture, _ = render(seed, index, True)
    return decode(encode(picture, seed, index), ANY_SIDE).pixels


def photographs(folder: str) -> list[Image.Image]:
    """Returns the pictures of img2dataset's tars in a folder."""
    config = SourceConfig()
    found = chain.from_iterable(units(file, config) for file in survey(folder, config).files)
    loaded = chain.from_iterable(read(unit, config) for unit in found)
    return [decode(item.data, ANY_SIDE).pixels for item in loaded if isinstance(item, Loaded)]


def _print_scenes(seed: int, indices: range) -> list[Fingerprint]:
    return [fingerprint(scene(seed, index)) for index in indices]


def _altered(picture: Image.Image, seed: int) -> list[Fingerprint]:
    """Returns the fingerprints of a picture's alterations, in their order."""
    return [fingerprint(alter(picture, random.Random(seed))) for alter in ALTERATIONS.values()]


def _altered_scenes(seed: int, indices: range) -> list[list[Fingerprint]]:
    return [_altered(scene(seed, index), index) for index in indices]


def _spread(function: Callable[[range], list[Any]], numbers: range) -> Iterator[list[Any]]:
    context = multiprocessing.get_context("spawn")
    parts = [numbers[at : at + 100] for at in range(0, len(numbers), 100)]
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        yield from pool.map(function, parts)


def within(prints: list[Fingerprint], config: CopiesConfig) -> list[tuple[int, int]]:
    """Returns the pairs that are copies."""
    hashes = np.stack([each.hashes for each in prints])
    bands = [WithinBand(band, hashes, config).pairs(hashes, 0) for band in range(BANDS)]
    pairs = best(np.concatenate(bands))
    started = time.perf_counter()

    def look(number: int) -> Look:
        return prints[number].thumbnail, prints[number].edges

    found = verified(pairs, look, look, config)
    each = (time.perf_counter() - started) / max(1, len(pairs)) * 1000
    print(f"flips {config.flips}: {len(pairs)} candidates, {each:.2f} ms each to verify")
    return [(first, second) for first, second, _, _ in found]


def _shares(found: set[int], kinds: list[str]) -> dict[str, float]:
    """Returns the share found of each alteration; planted pictures are in rows of all of them."""
    names = list(ALTERATIONS)
    return {
        kind: float(np.mean([n in found for n in range(len(kinds)) if kinds[n] == kind]))
        for kind in names
    }


def measure_copies(scenes: int, altered: int, photos: list[Image.Image], seed: int) -> bool:
    """Plants, looks, prints a table; returns whether the goals are met."""
    plain = list(chain.from_iterable(_spread(partial(_print_scenes, seed), range(scenes))))
    base = [*map(fingerprint, photos), *plain]
    planted: list[Fingerprint] = []
    source: list[int] = []
    for number, photo in enumerate(photos):
        planted += _altered(photo, number)
        source += [number] * len(ALTERATIONS)
    some = chain.from_iterable(_spread(partial(_altered_scenes, seed), range(altered)))
    for index, prints in enumerate(some):
        planted += prints
        source += [len(photos) + index] * len(ALTERATIONS)
    few = range(EVALUATION)
    unseen = list(chain.from_iterable(_spread(partial(_print_scenes, seed + 1), few)))
    copied = list(chain.from_iterable(_spread(partial(_altered_scenes, seed + 1), few)))
    kinds = list(ALTERATIONS) * (len(planted) // len(ALTERATIONS))
    origin = [*range(len(base)), *source]
    everything = [*base, *planted]
    print(f"{len(base)} pictures, {len(planted)} planted copies of {len(photos) + altered}")
    good = True
    for flips in ("copies", "different"):
        pairs = within(everything, CopiesConfig(flips=flips))  # type: ignore[arg-type]
        true = [pair for pair in pairs if origin[pair[0]] == origin[pair[1]]]
        direct = {b - len(base) for a, b in true if a < len(base) <= b}
        shares = _shares(direct, kinds)
        if flips == "different":
            good &= verdict("flips told apart", shares[_FLIPPED], 0.0, False)
            shares.pop(_FLIPPED)
        for kind, share in shares.items():
            good &= verdict(f"recall, {kind}", share, 0.95, True)
        good &= verdict("precision of pairs", len(true) / len(pairs), 0.99, True)
        joined = clusters(pairs)
        left_out = sum(len(cluster) - 1 for cluster in joined)
        right = sum(len(c) - len({origin[number] for number in c}) for c in joined)
        good &= verdict("precision of what is left out", right / left_out, 0.99, True)
    return measure_evaluation(everything, unseen, copied) and good


def measure_evaluation(others: list[Fingerprint], unseen: list[Any], copied: list[Any]) -> bool:
    """Looks for the alterations of unseen scenes among all others; prints recall, precision."""
    import pyarrow as pa

    rows = [row_of("unseen", EvaluationPicture(str(n), "", each)) for n, each in enumerate(unseen)]
    evaluation = Evaluation(pa.Table.from_pylist(rows, SCHEMA), CopiesConfig())
    planted: list[Fingerprint] = list(chain.from_iterable(copied))
    pictures = [*planted, *others]
    looks = [(each.thumbnail, each.edges) for each in pictures]
    started = time.perf_counter()
    found = evaluation.copies(np.stack([each.hashes for each in pictures]), looks)
    took = (time.perf_counter() - started) / len(pictures) * 1000
    print(f"evaluation set of {len(unseen)}: {took:.2f} ms a picture")
    right = {n for n, reason in found.items() if n < len(planted)
             and reason.detail.startswith(f"{n // len(ALTERATIONS)} of ")}  # fmt: skip
    good = verdict("recall of evaluation images", len(right) / len(planted), 0.95, True)
    return verdict("their precision", len(right) / len(found), 0.99, True) and good


def measure_time(sizes: list[int], base: np.ndarray, bands: int) -> bool:
    """Finds candidates among as many hashes, made from those of scenes; prints time and memory."""
    per_picture = []
    for size in sizes:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            seconds, pairs, peak = pool.submit(_timed, size, base, bands).result()
        per_picture.append(seconds / size)
        print(
            f"{size:,} pictures: {seconds:.1f} s of CPU for {bands} of {BANDS} bands "
            f"({seconds / size * 1e6:.0f} s a million), {pairs:,} candidates, {peak:.2f} GB"
        )
    return verdict("time per picture, last to first", per_picture[-1] / per_picture[0], 1.3, False)


def _timed(size: int, base: np.ndarray, bands: int) -> tuple[float, int, float]:
    """Returns CPU seconds, candidates, and the peak memory in GB, the hashes themselves (112 bytes
    a picture) included."""
    chance = np.random.default_rng(0)
    hashes = base[chance.integers(len(base), size=size)]
    noise = chance.integers(0, 2**64, (2, size, 1), np.uint64)
    hashes ^= noise[0] & noise[1]  # a quarter of the bits, in all views alike
    started, candidates = time.process_time(), 0
    for band in range(bands):
        table = WithinBand(band, hashes, CopiesConfig())
        for at in range(0, size, TOGETHER):
            candidates += len(table.pairs(hashes[at : at + TOGETHER], at))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return time.process_time() - started, candidates, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=20_000)
    parser.add_argument("--altered", type=int, default=250, help="scenes with planted copies")
    parser.add_argument("--photos", type=Path, help="folder of img2dataset's tars")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--bands", type=int, default=BANDS, help="that are timed")
    parser.add_argument("--timed", type=int, nargs="*", default=[250_000, 1_000_000])
    given = parser.parse_args()
    photos = photographs(str(given.photos)) if given.photos else []
    good = True
    if given.scenes:
        good = measure_copies(given.scenes, given.altered, photos, given.seed)
    if given.timed:
        scenes = chain.from_iterable(_spread(partial(_print_scenes, given.seed), range(1000)))
        base = np.stack([each.hashes for each in scenes])
        good &= measure_time(given.timed, base, given.bands)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
