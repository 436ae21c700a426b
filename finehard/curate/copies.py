"""Second step of a pass: which pictures are copies of which, by bands of hashes; all is linear.

Pictures are numbered through all shards. A band holds the hashes of all of them in memory, 36 bytes
a picture and twice that while it is sorted; what is looked up is read shard by shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from finehard.curate.bands import BANDS, Band
from finehard.curate.candidates import Pairs, WithinBand, best, verified
from finehard.curate.clusters import clusters, kept
from finehard.curate.config import CopiesConfig
from finehard.curate.embeddings import DISTANCE, WORDS
from finehard.curate.fingerprint import STORED
from finehard.curate.measured import Measured, all_staying
from finehard.curate.reason import Reason
from finehard.curate.work import Work
from finehard.io import storage

FOUND = np.dtype(
    [
        ("first", np.uint32),
        ("second", np.uint32),
        ("distance", np.uint8),
        ("value", np.float32),
    ]
)
"""Two pictures that are copies, first < second; `value` is the difference of their thumbnails, or
the cosine of their embeddings, and then `distance` is 255."""
TOGETHER = 1 << 16
"""Pictures that are looked up at a time."""
_PART = 4096
"""Candidates that are verified as one piece of work."""
_LOOKS = 20_000
"""Thumbnails in memory while candidates are verified: 35 MB."""
_BY_VECTOR = 255


def same_bytes(table: pa.Table) -> list[list[int]]:
    """Returns the numbers of rows that have one SHA-256, in groups of two and more."""
    half = np.frombuffer(b"".join(table.column("sha256").to_pylist()), "<u8").reshape(-1, 4)[:, 0]
    order = np.argsort(half, kind="stable")
    equal = np.flatnonzero(half[order][1:] == half[order][:-1])
    column = table.column("sha256")
    pairs = ((int(order[at]), int(order[at + 1])) for at in equal)
    return clusters((a, b) for a, b in pairs if column[a].as_py() == column[b].as_py())


def pairs_of_band(found: Measured, alone: np.ndarray, band: int) -> Pairs:
    """Returns the candidates of a band among the pictures that are `alone`: (n,) bool, false for
    those that have the bytes of another."""
    config = found.work.config.copies
    numbers = np.flatnonzero(alone).astype(np.uint32)
    stored = np.empty((len(numbers), STORED), np.uint64)
    at = 0
    for some in _alone(found, alone):
        stored[at : at + len(some)] = some[:, :STORED]
        at += len(some)
    table, at, pairs = WithinBand(band, stored, config), 0, []
    for some in _together(_alone(found, alone)):
        pairs.append(table.pairs(some, at))
        at += len(some)
    joined = best(np.concatenate(pairs))
    for name in ("first", "second"):
        joined[name] = numbers[joined[name]]
    return joined


def _together(hashes: Iterator[Any]) -> Iterator[Any]:
    """Yields hashes of at least `TOGETHER` pictures, but for the last ones."""
    some: list[Any] = []
    for each in hashes:
        some.append(each)
        if sum(map(len, some)) >= TOGETHER:
            yield np.concatenate(some)
            some = []
    if some:
        yield np.concatenate(some)


def _alone(found: Measured, alone: np.ndarray) -> Iterator[Any]:
    for shard in range(found.work.shards):
        of_shard = slice(int(found.starts[shard]), int(found.starts[shard + 1]))
        yield found.hashes(shard)[alone[of_shard]]


def verified_pairs(found: Measured, pairs: Pairs) -> np.ndarray:
    """Returns those of some candidates that are copies, as `FOUND`."""
    look = lru_cache(_LOOKS)(found.look)
    return np.array(verified(pairs, look, look, found.work.config.copies), FOUND)


def similar_vectors(found: Measured, band: int) -> np.ndarray:
    """Returns pairs of pictures whose embeddings are similar enough, as `FOUND`: candidates by a
    band of the vectors' hashes."""
    assert found.work.config.embeddings is not None
    least = found.work.config.embeddings.cosine
    word, of_word = divmod(band, BANDS)
    vector = lru_cache(_LOOKS)(found.vector)
    words = np.concatenate([found.words(shard)[:, word] for shard in range(found.work.shards)])
    pairs = []
    for near in Band(of_word, words).near(words, DISTANCE):
        ahead = near.stored < near.asked
        for one, other in zip(near.stored[ahead], near.asked[ahead], strict=True):
            cosine = float(vector(int(one)) @ vector(int(other)))
            if cosine >= least:
                pairs.append((int(one), int(other), _BY_VECTOR, cosine))
    return np.array(pairs, FOUND)


VECTOR_BANDS = WORDS * BANDS


def copies(work: Work, groups: list[list[int]], found: np.ndarray) -> dict[int, Reason]:
    """Returns why pictures do not stay, by number: `groups` have one SHA-256, and `found` are
    copies. Of pictures that belong together, directly or through others, one stays."""
    table = all_staying(work, ["key", "pixels", "bytes"])
    order = _order(table, work.config.copies)
    nearest: dict[int, Any] = {}
    for row in found:
        for number in (int(row["first"]), int(row["second"])):
            held = nearest.get(number)
            if held is None or row["distance"] < held["distance"]:
                nearest[number] = row
    of_bytes = {number: group[0] for group in groups for number in group}
    pairs = [(int(row["first"]), int(row["second"])) for row in found]
    pairs += [(group[0], number) for group in groups for number in group[1:]]
    reasons: dict[int, Reason] = {}
    for cluster in clusters(pairs):
        stays, others = kept(cluster, order)
        key = table.column("key")[stays].as_py()
        for number in others:
            if number in of_bytes and of_bytes[number] == of_bytes.get(stays):
                reasons[number] = Reason("same_bytes", f"as {key}")
            else:
                reasons[number] = _reason(key, nearest.get(number))
    return reasons


def _reason(key: str, row: Any) -> Reason:
    if row is None:  # its bytes are those of a copy
        return Reason("near_copy", f"of {key}, through another")
    if row["distance"] == _BY_VECTOR:
        return Reason("similar_embedding", f"to {key} (cosine {row['value']:.3f})")
    found = f"{row['distance']} bits, difference {row['value']:.1f}"
    return Reason("near_copy", f"of {key} ({found})")


def _order(table: pa.Table, config: CopiesConfig) -> Callable[[int], Any]:
    """Returns the sort key of a picture among its copies: the first stays."""
    key, pixels, size = (table.column(name) for name in ("key", "pixels", "bytes"))

    def best_first(number: int) -> Any:
        return -pixels[number].as_py(), -size[number].as_py(), key[number].as_py()

    def smallest_key(number: int) -> Any:
        return key[number].as_py()

    return best_first if config.keep == "best" else smallest_key


def save(uri: str, array: np.ndarray) -> None:
    """Writes an array of records."""
    with storage.writing(uri, durable=False) as file:
        np.save(file, array, allow_pickle=False)


def load(uri: str) -> np.ndarray:
    """Returns an array that `save` wrote."""
    with storage.open_read(uri) as file:
        loaded: np.ndarray = np.load(file, allow_pickle=False)
        return loaded


def parts(pairs: Pairs) -> list[slice]:
    """Returns stretches of sorted pairs to verify, those of one picture together."""
    cuts = [0]
    while cuts[-1] < len(pairs):
        last = pairs["first"][min(cuts[-1] + _PART, len(pairs)) - 1]
        cuts.append(int(np.searchsorted(pairs["first"], last, "right")))
    return [slice(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
