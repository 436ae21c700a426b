"""Images from untrusted bytes: headers checked before pixels, one way to decode, views for models.

Build, report and trainer all decode here, so that they see the same picture.
"""

from finehard.images.config import ANY_SIDE, ImagesConfig
from finehard.images.decode import Decoded, decode, load
from finehard.images.header import FORMATS, MEMBERS, SUFFIXES, Header, ImageError, header
from finehard.images.stored import Stored, stored
from finehard.images.views import as_sent, cut_out, fit, jpeg

__all__ = [
    "ANY_SIDE",
    "FORMATS",
    "MEMBERS",
    "SUFFIXES",
    "Decoded",
    "Header",
    "ImageError",
    "ImagesConfig",
    "Stored",
    "as_sent",
    "cut_out",
    "decode",
    "fit",
    "header",
    "jpeg",
    "load",
    "stored",
]
