"""Hard negatives: a region's short expression with one attribute swapped, so that it is false."""

from finehard.negatives.stage import Negatives, NegativesConfig

__all__ = ["Negatives", "NegativesConfig"]
