"""The model's input square: same pixels as ever for plain JPEGs, same picture as the build's."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from finehard.fgclip.transform import square
from finehard.images import ImagesConfig, decode
from tests.pictures import encoded, picture


def plain_square(data: bytes, side: int, reduced: bool) -> np.ndarray:
    """A plain decode with Pillow and the resize: what the first release trained on."""
    image = Image.open(io.BytesIO(data))
    if reduced:
        image.draft("RGB", (side, side))
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None]
    return interpolate(pixels, (side, side), mode="bicubic", antialias=True)[0].numpy()


@pytest.mark.parametrize("reduced", [True, False])
@pytest.mark.parametrize(
    "size", [(640, 480), (300, 1000), (65, 64), (64, 2000), (33, 20), (511, 513), (8, 9)]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_upright_jpegs_keep_their_pixels(size, reduced, mode):
    data = encoded(picture(*size).convert(mode), quality=90)
    array, _ = square(data, 64, "squash", [], reduced)
    assert np.array_equal(array, plain_square(data, 64, reduced))


def test_draft_keeps_the_short_side_at_least_the_models():
    """A very wide JPEG, whose long side alone would allow an eighth of the scale."""
    rng = np.random.default_rng(0)
    grain = Image.fromarray(rng.integers(0, 256, (70, 1000, 3), dtype=np.uint8))
    data = encoded(grain, quality=95)
    full, _ = square(data, 64, "squash", [], False)
    assert np.array_equal(square(data, 64, "squash", [], True)[0], full)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def transparent() -> Image.Image:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 32, 64))
    return image


DEEP = Image.fromarray(np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16))


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (encoded(transparent(), "PNG"), (255, 255, 255)),
        (encoded(transparent().quantize(16), "PNG"), (255, 255, 255)),
        (encoded(transparent(), "WEBP", lossless=True), (255, 255, 255)),
        (encoded(DEEP, "PNG"), None),
        (encoded(picture(64, 64).convert("CMYK"), quality=95), None),
        (encoded(picture(64, 64), quality=95, exif=turned()), None),
        (encoded(picture(64, 64), "PNG", exif=turned()), None),
    ],
    ids=["rgba", "palette", "webp", "16 bit", "cmyk", "turned jpeg", "turned png"],
)
def test_training_uses_the_pixels_that_the_build_used(data, pixel):
    array, _ = square(data, 64, "squash", [])
    pixels = np.asarray(decode(data, ImagesConfig()).pixels)
    assert np.array_equal(array.transpose(1, 2, 0), pixels)
    if pixel is not None:
        assert tuple(array[:, 5, 5]) == pixel
