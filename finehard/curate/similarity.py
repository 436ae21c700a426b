"""How well an alt text fits its image, by a model of both."""

from __future__ import annotations

from PIL import Image

from finehard.benchmarks.loading import load_model
from finehard.curate.config import SimilarityConfig
from finehard.curate.reason import Reason


class Similarity:
    """A loaded model and the least similarity."""

    def __init__(self, config: SimilarityConfig) -> None:
        """Raises `FinehardError` where there is no such model."""
        self._config = config
        self._model = load_model(config.model)

    def reason(self, alt_text: str | None, picture: Image.Image) -> Reason | None:
        """Returns why an image is left out; None where its text fits, or it has none."""
        if not alt_text:
            return None
        [image], [text] = (
            self._model.encode_images([picture]),
            self._model.encode_texts([alt_text], "short"),
        )
        cosine = float(image @ text)
        if cosine >= self._config.least:
            return None
        return Reason("unlike_its_text", f"cosine {cosine:.3f}")
