"""Letterboxing and back returns the original boxes."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from finehard.detect.letterbox import cxcywh_to_xyxy, letterbox, undo_letterbox


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (64, 64), (30, 20), (1600, 120)])
def test_boxes_map_from_canvas_to_image(shape, centred):
    width, height = shape
    image = Image.new("RGB", shape, "black")
    box = (width * 0.25, height * 0.5, width * 0.75 - 1, height * 1.0 - 1)
    ImageDraw.Draw(image).rectangle(box, fill="white")
    canvas, placement = letterbox(image, 640, 0, centred)
    ys, xs = np.nonzero(canvas[:, :, 0] > 127)
    drawn = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]])
    # One pixel of the canvas or of the image, whichever is larger.
    error = 1.5 / min(min(shape), 640 * min(shape) / max(shape))
    np.testing.assert_allclose(
        undo_letterbox(drawn, placement)[0], [0.25, 0.5, 0.75, 1.0], atol=error
    )


@pytest.mark.parametrize("shape", [(1, 1), (5000, 20), (20, 5000), (3, 1)])
def test_extreme_aspect_ratios_fit_the_canvas(shape):
    canvas, fit = letterbox(Image.new("L", shape, 255), 64, 7, centred=True)
    assert canvas.shape == (64, 64, 3)
    assert fit.width >= 1 and fit.height >= 1
    assert (canvas == 255).all(axis=2).sum() == fit.width * fit.height
    assert (canvas == 7).all(axis=2).sum() == 64 * 64 - fit.width * fit.height


def test_cxcywh_to_xyxy():
    np.testing.assert_array_equal(
        cxcywh_to_xyxy(np.array([[0.5, 0.5, 0.2, 0.4]])), [[0.4, 0.3, 0.6, 0.7]]
    )
