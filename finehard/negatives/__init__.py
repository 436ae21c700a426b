"""Hard negatives: a region's short expression made false by swapping one attribute."""

from finehard.negatives.stage import Negatives, NegativesConfig

__all__ = ["Negatives", "NegativesConfig"]
