"""Images from hostile bytes: headers checked before pixels, one way to decode, views for models."""

from finehard.images.config import ImagesConfig
from finehard.images.decode import Decoded, decode
from finehard.images.header import FORMATS, Header, ImageError, header
from finehard.images.views import cut_out, fit, jpeg

__all__ = [
    "FORMATS",
    "Decoded",
    "Header",
    "ImageError",
    "ImagesConfig",
    "cut_out",
    "decode",
    "fit",
    "header",
    "jpeg",
]
