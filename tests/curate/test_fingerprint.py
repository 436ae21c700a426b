"""Fingerprints, and whether two pictures are copies of each other."""

from __future__ import annotations

import random

import imagehash
import numpy as np
import pytest
from PIL import Image

from bench.altered import ALTERATIONS
from finehard.curate.bands import BANDS, WINDOW, Band
from finehard.curate.candidates import WithinBand, best, verified
from finehard.curate.clusters import clusters, kept
from finehard.curate.compare import difference
from finehard.curate.config import CopiesConfig
from finehard.curate.fingerprint import MIRRORED, STORED, VIEWS, Fingerprint, fingerprint
from tests.curate.pictures import scene

SCENES = 60


def copied(prints: list[Fingerprint], config: CopiesConfig) -> set[tuple[int, int]]:
    """The pairs of pictures that are copies."""
    hashes = np.stack([each.hashes for each in prints])
    bands = [WithinBand(band, hashes, config).pairs(hashes, 0) for band in range(BANDS)]

    def look(number: int) -> tuple[np.ndarray, tuple[float, float]]:
        return prints[number].thumbnail, prints[number].edges

    found = verified(best(np.concatenate(bands)), look, look, config)
    return {(first, second) for first, second, _, _ in found}


def test_the_first_hash_is_the_phash_of_imagehash() -> None:
    picture = scene(0)
    grey = picture.resize((128, 128), Image.Resampling.LANCZOS, reducing_gap=3.0).convert("L")
    assert f"{fingerprint(picture).hashes[0]:016x}" == str(imagehash.phash(grey))


def test_views_from_the_first_mirrored_are_the_stored_mirrored() -> None:
    mirrored = scene(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    one, other = fingerprint(scene(1)).hashes, fingerprint(mirrored).hashes
    assert np.bitwise_count(one[:STORED] ^ other[MIRRORED:]).max() <= 4
    assert np.bitwise_count(one[:STORED] ^ other[:STORED]).min() > 10
    assert len(one) == VIEWS


@pytest.mark.parametrize("flips", ["copies", "different"])
def test_altered_copies_are_found_and_no_other_scene(flips: str) -> None:
    prints = [fingerprint(scene(n)) for n in range(SCENES)]
    source = list(range(SCENES))
    kinds = [""] * SCENES
    for kind, alter in ALTERATIONS.items():
        for n in range(10):
            prints.append(fingerprint(alter(scene(n), random.Random(n))))
            source.append(n)
            kinds.append(kind)
    found = copied(prints, CopiesConfig(flips=flips))  # type: ignore[arg-type]
    assert all(source[one] == source[other] for one, other in found)
    planted = range(SCENES, len(prints))
    missed = [kinds[n] for n in planted if (source[n], n) not in found]
    assert missed.count("flipped") == (0 if flips == "copies" else 10)
    assert len([kind for kind in missed if kind != "flipped"]) <= 3  # of 60


def test_scenes_with_another_thing_differ() -> None:
    changed = scene(3).copy()
    width, height = changed.size
    box = (width // 3, height // 3, width // 3 + width // 5, height // 3 + height // 5)
    changed.paste("red", box)
    one, other = fingerprint(scene(3)), fingerprint(changed)
    looks = [(each.thumbnail, each.edges) for each in (one, other)]
    assert difference(looks[0], 0, looks[0], 0) == 0
    assert difference(looks[0], 0, looks[1], 0) > CopiesConfig().difference


def test_bands_find_all_within_four_bits() -> None:
    chance = np.random.default_rng(1)
    stored = chance.integers(0, 2**64, 500, np.uint64)
    asked = stored.copy()
    for n in range(500):
        for bit in chance.choice(64, 4, replace=False):
            asked[n] ^= np.uint64(1) << np.uint64(bit)
    found = set()
    for number in range(BANDS):
        for near in Band(number, stored).near(asked, 4):
            assert (np.bitwise_count(stored[near.stored] ^ asked[near.asked]) == 4).all()
            found |= set(zip(near.stored.tolist(), near.asked.tolist(), strict=True))
    assert found == {(n, n) for n in range(500)}


def test_equal_hashes_cost_no_more_than_the_window() -> None:
    stored = np.full(5 * WINDOW, 7, np.uint64)
    [near] = Band(0, stored).near(stored[:3], 0)
    assert len(near.stored) <= 3 * WINDOW


def test_one_of_each_cluster_is_kept() -> None:
    joined = clusters([(5, 2), (9, 8), (2, 7), (8, 9)])
    assert joined == [[2, 5, 7], [8, 9]]
    assert kept([2, 5, 7], lambda n: -n) == (7, [2, 5])
