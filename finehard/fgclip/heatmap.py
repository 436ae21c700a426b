"""How well a text matches each place of an image: a map of cosines, drawn over the image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import cosine_similarity

from finehard.errors import FinehardError
from finehard.fgclip.evaluate import limits_of, sample_config
from finehard.fgclip.model import FGCLIP, load
from finehard.fgclip.objective import MEAN, STD
from finehard.fgclip.packing import LONG, SHORT, pack
from finehard.fgclip.tokenizer import Tokens, load_tokenizer
from finehard.fgclip.transform import square
from finehard.images import ANY_SIDE, ImageError
from finehard.images import load as load_image
from finehard.io import storage
from finehard.records import Box

_RAMP = np.array([[20, 24, 92], [0, 150, 199], [255, 220, 60], [208, 24, 24]], np.float32)
"""Colours from the lowest cosine to the highest, RGB."""
_OPACITY = 0.55


def show_text(folder: str, text: str, image: str, output: str) -> str:
    """Draws the match of `text` over `image` into PNG `output`, with the model in `folder`.

    Paths may be URIs. Prints the range of the cosines, and returns the URI of the picture. Raises
    `FinehardError`.
    """
    model = load(folder).eval()
    sample = sample_config(folder)
    try:
        data = storage.read_all(storage.local(image))
        pixels, (whole,) = square(data, limits_of(model).side, sample.fit, [(0, 0, 1, 1)], False)
        picture = load_image(data, ANY_SIDE)
    except ImageError as error:
        raise FinehardError(f"{image}: it cannot be shown: {error.detail}") from None
    cosines = text_map(model, load_tokenizer(folder), pixels, text)
    out = io.BytesIO()
    draw(picture, cosines, whole).save(out, "PNG")
    uri = storage.local(output)
    storage.write(uri, out.getvalue())
    print(f"cosines from {cosines.min():.3f} (blue) to {cosines.max():.3f} (red): {uri}")
    return uri


@torch.no_grad()
def text_map(
    model: FGCLIP, tokenizer: Any, pixels: NDArray[np.uint8], text: str
) -> NDArray[np.float32]:
    """Returns the (h, w) cosines of `text` with the patches of (3, S, S) RGB `pixels`.

    A text of more than 77 tokens goes the way of the long ones. Raises `FinehardError` for an
    empty text.
    """
    limits = limits_of(model)
    ids = Tokens(tokenizer)(text, limits.long)
    if not text.strip():
        raise FinehardError("the text is empty")
    kind = SHORT if len(ids) <= limits.short else LONG
    mean, std = (torch.tensor(x)[:, None, None] * 255 for x in (MEAN, STD))
    _, dense = model.encode_images(((torch.from_numpy(pixels) - mean) / std)[None])
    assert dense is not None
    states = model.encode_texts(pack([(kind, ids)])[0])
    feature = model.short_features(states) if kind == SHORT else model.long_features(states)
    return cosine_similarity(dense[0], feature[0][:, None, None], dim=0).numpy()


def draw(picture: Image.Image, cosines: NDArray[np.float32], whole: Box) -> Image.Image:
    """Returns `picture` under the colours of (h, w) `cosines`, of which it covers the normalised
    xyxy box `whole`."""
    height, width = cosines.shape
    x1, y1, x2, y2 = whole
    smooth = Image.fromarray(cosines.astype(np.float32)).resize(
        picture.size, Image.Resampling.BICUBIC, (x1 * width, y1 * height, x2 * width, y2 * height)
    )
    low, high = float(cosines.min()), float(cosines.max())
    share = (np.asarray(smooth).clip(low, high) - low) / max(high - low, 1e-6)
    steps = np.linspace(0, 1, len(_RAMP))
    colours = np.stack([np.interp(share, steps, _RAMP[:, c]) for c in range(3)], -1)
    return Image.blend(picture, Image.fromarray(colours.astype(np.uint8)), _OPACITY)
