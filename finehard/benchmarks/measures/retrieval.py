"""Retrieval: recall of an image's captions among all captions, and of a caption's image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finehard.benchmarks.benchmark import Figure, figure
from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.interval import of_ratio
from finehard.benchmarks.items import Pair, Pairs
from finehard.benchmarks.model import TextKind
from finehard.benchmarks.ranks import distinct, padded, ranks


@dataclass(frozen=True)
class Retrieval:
    """Yields image_to_text_r@K and text_to_image_r@K for each K of `at`.

    An image is right when any of its captions is among the first K distinct captions; a distinct
    caption when any of the images that it is a caption of is among the first K images. As
    published, each copy of a caption is one of its own, right for its own image only, and of equal
    scores the first ranks first.
    """

    kind: TextKind
    at: tuple[int, ...] = (1, 5, 10)

    def __call__(self, data: Pairs, encoder: Encoder) -> list[Figure]:
        """Returns the figures."""
        pairs: list[Pair] = []
        parts = []
        for batch, features in encoder.encode_images(data.items):
            pairs += batch
            parts.append(features)
        images = np.concatenate(parts)
        texts, which = distinct(caption for pair in pairs for caption in pair.captions)
        of_image = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
        features = encoder.encode_texts(texts, self.kind)

        captions = padded(_grouped(of_image, which, len(pairs)))
        owners = padded(_grouped(which, of_image, len(texts)))
        to_text = ranks(images, features, captions)
        to_image = ranks(features, images, owners)
        if len(texts) < len(which):
            rows = padded(_grouped(of_image, np.arange(len(which)), len(pairs)))
            to_text_published = ranks(images, features[which], rows).by_order
            to_image_published = ranks(features[which], images, of_image[:, None]).by_order
            encoder.notes.append(
                f"{len(which) - len(texts):,} of {len(which):,} captions repeat another, and count "
                "as one with it"
            )
        else:
            to_text_published, to_image_published = to_text.by_order, to_image.by_order
        first = owners[:, 0]
        count = np.bincount(first, minlength=len(pairs))
        found = []
        for k in self.at:
            right = to_text.strict < k
            interval = of_ratio(right, np.ones(len(pairs)))
            published = float((to_text_published < k).mean())
            name = f"image_to_text_r@{k}"
            found.append(
                figure(name, float(right.mean()), interval, len(pairs), "images", published)
            )
        for k in self.at:
            right = to_image.strict < k
            interval = of_ratio(np.bincount(first, weights=right, minlength=len(pairs)), count)
            published = float((to_image_published < k).mean())
            name = f"text_to_image_r@{k}"
            found.append(
                figure(name, float(right.mean()), interval, len(texts), "texts", published)
            )
        return found


def _grouped(by: np.ndarray, values: np.ndarray, groups: int) -> list[list[int]]:
    """Returns `values` (n,) in lists, one for each number from 0 to `groups`, of `by` (n,)."""
    lists: list[list[int]] = [[] for _ in range(groups)]
    for group, value in zip(by.tolist(), values.tolist(), strict=True):
        lists[group].append(value)
    return lists
