"""What a benchmark is: a declaration of where its files are, how they are read, and what is
measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.folder import Folder
from finehard.benchmarks.items import Data


class Figure(NamedTuple):
    """One figure of a benchmark.

    value      a share from 0 to 1; equal texts count as one, ties are wrong
    low, high  its 95 % interval, by bootstrap over images
    over       how many things it is the share of, in `unit` ("images", "texts", "boxes", "classes")
    published  the same as the published scripts count it, where that differs
    """

    name: str
    value: float
    low: float
    high: float
    over: int
    unit: str
    published: float | None = None


def figure(
    name: str, value: float, interval: tuple[float, float], over: int, unit: str, published: float
) -> Figure:
    """Returns a `Figure`; `published` is left out where it is equal."""
    differs = abs(published - value) > 1e-9
    return Figure(name, value, *interval, over, unit, published if differs else None)


Measure = Callable[[Any, Encoder], list[Figure]]
"""Returns the figures of a reader's data, given to a model by an `Encoder`."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    name        as on the command line; of a family: "FAMILY/MEMBER"
    folder      where its files are below the folder of all benchmarks
    read        from its folder to what one of the four readers yields
    measure     what is measured of it, one of `finehard.benchmarks.measures`
    protocol    whose protocol that is, and what it says of texts, captions, prompts
    deviations  where this deviates from how the published figures were taken
    images      how many the published set has
    published   its name in the published figures; default: `name`
    """

    name: str
    title: str
    folder: str
    read: Callable[[Folder], Data]
    measure: Measure
    protocol: str
    deviations: tuple[str, ...] = ()
    images: int | None = None
    published: str = field(default="")

    def published_name(self) -> str:
        """Returns its name in the published figures."""
        return self.published or self.name
