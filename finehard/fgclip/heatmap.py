"""How well a text matches each place of an image: a map of cosines, drawn over the image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import cosine_similarity

from finehard.errors import FinehardError
from finehard.fgclip.evaluate import limits_of, sample_config
from finehard.fgclip.model import Network, load
from finehard.fgclip.naflex import Naflex, batch_of, picture
from finehard.fgclip.objective import pixel_scale
from finehard.fgclip.packing import LONG, SHORT, pack
from finehard.fgclip.padded import pad_texts
from finehard.fgclip.siglip2 import FGCLIP2
from finehard.fgclip.targets import SampleConfig
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
    if not text.strip():
        raise FinehardError("the text is empty")
    model = load(folder).eval()
    try:
        data = storage.read_all(storage.local(image))
        shown = load_image(data, ANY_SIDE)
        dense, whole = _dense(model, data, sample_config(folder))
    except ImageError as error:
        raise FinehardError(f"{image}: it cannot be shown: {error.detail}") from None
    feature = _feature(model, load_tokenizer(folder), text, sample_config(folder).lowercase)
    cosines = cosine_similarity(dense, feature[:, None, None], dim=0).numpy()
    out = io.BytesIO()
    draw(shown, cosines, whole).save(out, "PNG")
    uri = storage.local(output)
    storage.write(uri, out.getvalue())
    print(f"cosines from {cosines.min():.3f} (blue) to {cosines.max():.3f} (red): {uri}")
    return uri


@torch.no_grad()
def _dense(model: Network, data: bytes, sample: SampleConfig) -> tuple[Tensor, Box]:
    """Returns the (D, h, w) dense map of an image, and the part of it that the image covers."""
    limits, everything = limits_of(model), [(0, 0, 1, 1)]
    if isinstance(model, FGCLIP2):
        naflex = Naflex(model.config.vision_config.patch_size, sample.patches)
        given, (whole,) = picture(data, naflex, everything, False)
        _, patches = model.encode_images(batch_of([given], naflex.patch))
        assert patches is not None
        height, width = patches.shapes[0].tolist()
        return patches.features[0, : height * width].T.unflatten(1, (height, width)), whole
    pixels, (whole,) = square(data, limits.side, sample.fit, everything, False)
    mean, std = pixel_scale()
    _, dense = model.encode_images(((torch.from_numpy(pixels) - mean) / std)[None])
    assert dense is not None
    return dense[0], whole


@torch.no_grad()
def _feature(model: Network, tokenizer: Any, text: str, lowercase: bool) -> Tensor:
    """Returns the (D,) feature of `text` as that of a region; a text longer than those of regions
    goes the way of the long ones."""
    limits, tokens = limits_of(model), Tokens(tokenizer)
    ids = tokens(text.lower() if lowercase else text, limits.long)
    texts = [(SHORT if len(ids) <= limits.short else LONG, ids)]
    if isinstance(model, FGCLIP2):
        padded, _ = pad_texts(texts, (limits.short, limits.long), tokens.padding)
        states = model.encode_texts(padded)
    else:
        states = model.encode_texts(pack(texts)[0])
    head = model.region_text_features if texts[0][0] == SHORT else model.long_features
    feature: Tensor = head(states)[0]
    return feature


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
