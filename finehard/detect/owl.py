"""OWLv2 and OWL-ViT (transformers).

The image and text towers run separately: each phrase is embedded once, and the cost of an image
does not depend on the number of phrases. Each box is assigned to its highest-scoring phrase, as in
the models' own post-processing.
"""

from typing import Any

import numpy as np
from PIL import Image

from finehard.detect.boxes import Detection, postprocess
from finehard.detect.config import DetectConfig
from finehard.detect.letterbox import Placement, cxcywh_to_xyxy, letterbox, undo_letterbox
from finehard.detect.loading import (
    Runtime,
    bucket,
    fixed_batches,
    load_zero_shot,
)
from finehard.detect.phrase_embedding import PhraseEmbedder
from finehard.errors import UsageError

BLACK = 0
"""What OWLv2's images are padded with at the right and bottom, as by transformers: measured there
(huggingface/transformers#41938), LVIS is 44.0 with it, and 43.4 with the grey of scenic's code."""
SMALLEST_BUCKET = 32


class OwlDetector:
    """Detects phrases with OWLv2 or OWL-ViT."""

    def __init__(
        self, model: Any, tokenizer: Any, processor: Any, config: DetectConfig, runtime: Runtime
    ) -> None:
        import torch

        self._config = config
        self._runtime = runtime
        self._model = model
        # OWL-ViT resizes the image to a square, OWLv2 pads it.
        self._pads = model.config.model_type == "owlv2"
        vision = model.config.vision_config
        self._size: int = config.image_size or vision.image_size
        if self._size % vision.patch_size:
            raise UsageError(
                f"detect.image_size: {self._size} is not a multiple of {vision.patch_size}, "
                "the patch size of this model."
            )
        self._interpolate = self._size != vision.image_size
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(processor.image_mean, device=runtime.device).view(shape) * 255
        self._std = torch.tensor(processor.image_std, device=runtime.device).view(shape) * 255
        towers = model.owlv2 if self._pads else model.owlvit

        def encode(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            output = towers.get_text_features(input_ids=ids, attention_mask=mask)
            return getattr(output, "pooler_output", output)

        length = model.config.text_config.max_position_embeddings
        self._embed = PhraseEmbedder(tokenizer, encode, [length], runtime)

    def _canvas(self, image: Image.Image) -> tuple[np.ndarray, Placement]:
        if self._pads:
            return letterbox(image, self._size, BLACK, centred=False)
        squashed = image.convert("RGB").resize((self._size, self._size), Image.Resampling.BICUBIC)
        return np.asarray(squashed), Placement(0, 0, self._size, self._size)

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """Implements `Detector.detect`."""
        import torch

        detections: list[list[Detection]] = [[] for _ in images]
        asked = [index for index, texts in enumerate(phrases[: len(images)]) if texts]
        with torch.inference_mode():
            for batch, real in fixed_batches(asked, self._runtime.rows):
                canvases = {index: self._canvas(images[index]) for index in batch}
                pixels = torch.from_numpy(np.stack([canvases[index][0] for index in batch]))
                pixels = pixels.to(self._runtime.device).permute(0, 3, 1, 2).float()
                pixels = ((pixels - self._mean) / self._std).to(self._runtime.dtype)
                grid = self._model.image_embedder(pixels, self._interpolate)[0]
                features = grid.flatten(1, 2)
                boxes = self._model.box_predictor(features, grid, self._interpolate)
                boxes = boxes.float().cpu().numpy()
                for row, index in enumerate(batch[:real]):
                    scores, labels = self._scores(features[row : row + 1], phrases[index])
                    boxes_in_image = undo_letterbox(
                        cxcywh_to_xyxy(boxes[row]) * self._size, canvases[index][1]
                    )
                    detections[index] = postprocess(boxes_in_image, scores, labels, self._config)
        return detections

    def _scores(self, features: Any, phrases: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns each box's best score and its phrase index, both (boxes,).

        The phrases are padded to a fixed count with copies of the first, whose scores are ignored.
        """
        filled = bucket(len(phrases), SMALLEST_BUCKET)
        queries = self._embed(phrases + [phrases[0]] * (filled - len(phrases)))
        logits = self._model.class_predictor(features, queries[None].to(features.dtype))[0]
        best = logits[0, :, : len(phrases)].float().max(dim=-1)
        return best.values.sigmoid().cpu().numpy(), best.indices.cpu().numpy()


def load_owl(config: DetectConfig) -> OwlDetector:
    """Returns the configured OWL detector. Raises `FinehardError` if it cannot be loaded."""
    model, tokenizer, processor, runtime = load_zero_shot(config, "owlv2", ("owlv2", "owlvit"))
    return OwlDetector(model, tokenizer, processor, config, runtime)
