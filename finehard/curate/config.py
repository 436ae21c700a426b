"""The `curate` section: which images are left out of a build, or of a finished dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from finehard.errors import UsageError
from finehard.settings.ranges import Amount, Aspect, Count, Share


@dataclass(frozen=True)
class CopiesConfig:
    """When two pictures are copies of each other. `bench.duplicates` measures the defaults."""

    distance: Annotated[int, Ge(0), Le(14)] = 10
    """Most bits of 64 in which the hashes of two views may differ."""
    difference: Amount = 16.0
    """Most that the worst places of the two thumbnails may differ, in grey levels of 255."""
    flips: Literal["copies", "different"] = "copies"
    """What mirrored pictures are. With "different", a caption's left and right stay true."""
    keep: Literal["best", "first"] = "best"
    """Which of several copies stays: the one with the most pixels, then the most bytes, then the
    smallest key; or the one with the smallest key."""


@dataclass(frozen=True)
class EmbeddingsConfig:
    """Copies by a model of images: for those that hashes do not find."""

    model: str
    """A folder or id of a CLIP, SigLIP or FG-CLIP model, open_clip:ARCHITECTURE, or a TorchScript
    file (.pt), such as SSCD's."""
    cosine: Share = 0.95
    side: Annotated[int, Ge(16)] = 288
    """Of the square that a TorchScript file is shown, in pixels; 288 is SSCD's."""


@dataclass(frozen=True)
class SimilarityConfig:
    """How well the alt text fits the image, by a model of both."""

    model: str
    least: Annotated[float, Ge(-1), Le(1)] = 0.2
    """Smallest cosine. Images without alt text pass."""


@dataclass(frozen=True)
class ColumnConfig:
    """What a column of the source's metadata must be. Images without a value pass."""

    most: float | None = None
    least: float | None = None
    none_of: tuple[str, ...] = ()
    """Texts that it must not be, in any case; true and false are texts here."""


@dataclass(frozen=True)
class CurateConfig:
    """Which images are left out, before any question is asked. By default none are."""

    min_side: Count = 0
    """Shortest side in pixels."""
    max_aspect: Aspect | None = None
    min_entropy: Annotated[float, Ge(0), Le(8)] = 0.0
    """Of the grey levels, in bits; a picture of one colour has 0."""
    min_sharpness: Amount = 0.0
    """Variance of the Laplacian at 256 pixels; blurred pictures have less than about 50."""
    max_text: Share = 1.0
    """Share of a picture that looks like print: 1 for a scanned page."""
    licenses: tuple[str, ...] = ()
    """If given, images under other licences, or none, are left out."""
    columns: dict[str, ColumnConfig] = field(default_factory=dict)
    """By name of a column of the source's metadata, such as punsafe or pwatermark."""
    checks: tuple[str, ...] = ()
    """"personal_data", or module:attribute of a `finehard.curate.checks.Check` of your own."""
    similarity: SimilarityConfig | None = None
    evaluation: tuple[str, ...] = ()
    """Files that `finehard fingerprint` wrote: copies of the pictures in them are left out."""
    copies: CopiesConfig = field(default_factory=CopiesConfig)
    embeddings: EmbeddingsConfig | None = None
    """In the pass over a finished dataset only."""

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if column == ColumnConfig():
                raise UsageError(f"curate.columns.{name}: give most, least or none_of")
