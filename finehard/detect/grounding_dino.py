"""GroundingDINO and MM-GroundingDINO (transformers).

All phrases of an image form one prompt, "a dog . a red ball .". It is assembled from token ids, so
that each token's phrase is known. A prompt beyond the model's limit is split into several passes.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from finehard.detect.boxes import Detection, postprocess
from finehard.detect.config import DetectConfig
from finehard.detect.letterbox import cxcywh_to_xyxy, letterbox
from finehard.detect.loading import (
    Runtime,
    bucket,
    fixed_batches,
    load_zero_shot,
)

SIZE = 1066
"""Training used a shortest side of 800 pixels, which makes 1066 of a 4:3 image."""
SMALLEST_BUCKET = 64


class Text(NamedTuple):
    """The prompt of one forward pass over one image."""

    image: int
    ids: list[int]
    spans: list[tuple[int, int, int]]
    """(phrase index, first token, end token, exclusive)"""


class GroundingDinoDetector:
    """Detects phrases with GroundingDINO or MM-GroundingDINO."""

    def __init__(
        self, model: Any, tokenizer: Any, processor: Any, config: DetectConfig, runtime: Runtime
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._model = model
        self._tokenizer = tokenizer
        self._size = config.image_size or SIZE
        self._limit: int = model.config.max_text_len
        self._mean = np.array(processor.image_mean, dtype=np.float32) * 255
        self._std = np.array(processor.image_std, dtype=np.float32) * 255
        self._dot = int(tokenizer.convert_tokens_to_ids("."))
        # The model ends a phrase at any of these four ids.
        special = {int(token) for token in tokenizer.all_special_ids} - {tokenizer.unk_token_id}
        self._ends = special | {self._dot, int(tokenizer.convert_tokens_to_ids("?"))}

    def texts(self, image: int, phrases: list[str]) -> Iterator[Text]:
        """Yields the prompts that together hold all phrases of one image.

        A phrase longer than the model's limit is truncated; one without tokens is skipped.
        """
        room = self._limit - 2
        ids: list[int] = []
        spans: list[tuple[int, int, int]] = []
        for phrase, words in enumerate(phrases):
            tokens = self._tokenizer(
                words.lower(), add_special_tokens=False, truncation=True, max_length=self._limit
            )["input_ids"]
            tokens = [token for token in tokens if token not in self._ends][: room - 1]
            if not tokens:
                continue
            if len(ids) + len(tokens) + 1 > room:
                yield self._text(image, ids, spans)
                ids, spans = [], []
            # + 1 for the [CLS] token.
            spans.append((phrase, len(ids) + 1, len(ids) + 1 + len(tokens)))
            ids += [*tokens, self._dot]
        if spans:
            yield self._text(image, ids, spans)

    def _text(self, image: int, ids: list[int], spans: list[tuple[int, int, int]]) -> Text:
        start, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        return Text(image, [start, *ids, end], spans)

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """Implements `Detector.detect`."""
        by_length: dict[int, list[Text]] = {}
        for index, asked in enumerate(phrases[: len(images)]):
            for text in self.texts(index, asked):
                length = min(bucket(len(text.ids), SMALLEST_BUCKET), self._limit)
                by_length.setdefault(length, []).append(text)
        raw: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in images]
        for length, texts in by_length.items():
            for batch, real in fixed_batches(texts, self._runtime.rows):
                logits, boxes = self._forward(images, batch, length)
                for row, text in enumerate(batch[:real]):
                    # As in the model's processor, a phrase scores as its best token.
                    scores = np.stack(
                        [logits[row][:, first:end].max(axis=1) for _, first, end in text.spans]
                    )
                    best = scores.argmax(axis=0)
                    labels = np.array([phrase for phrase, _, _ in text.spans])[best]
                    raw[text.image].append((cxcywh_to_xyxy(boxes[row]), scores.max(axis=0), labels))
        detections: list[list[Detection]] = []
        for passes in raw:
            if not passes:
                detections.append([])
                continue
            boxes, scores, labels = (np.concatenate(parts) for parts in zip(*passes, strict=True))
            detections.append(postprocess(boxes, scores, labels, self._config))
        return detections

    def _forward(
        self, images: list[Image.Image], texts: list[Text], length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns token scores (rows, queries, tokens) and boxes (rows, queries, 4).

        The boxes are cxcywh normalised to the image, not the canvas: the model gets the image's
        extent from the pixel mask.
        """
        import torch

        size = self._size
        pixels = np.zeros((len(texts), size, size, 3), dtype=np.float32)
        mask = np.zeros((len(texts), size, size), dtype=np.int64)
        for row, text in enumerate(texts):
            canvas, fit = letterbox(images[text.image], size, 0, centred=False)
            inside = canvas[: fit.height, : fit.width].astype(np.float32)
            pixels[row, : fit.height, : fit.width] = (inside - self._mean) / self._std
            mask[row, : fit.height, : fit.width] = 1
        pad = self._tokenizer.pad_token_id
        ids = [text.ids + [pad] * (length - len(text.ids)) for text in texts]
        attention = [[1] * len(text.ids) + [0] * (length - len(text.ids)) for text in texts]
        device = self._runtime.device
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            output = self._model(
                pixel_values=values.to(device, self._runtime.dtype),
                pixel_mask=torch.from_numpy(mask).to(device),
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(attention, device=device),
            )
        return (
            output.logits.float().sigmoid().cpu().numpy(),
            output.pred_boxes.float().cpu().numpy(),
        )


def load_grounding_dino(config: DetectConfig) -> GroundingDinoDetector:
    """Returns the configured detector. Raises `FinehardError` if it cannot be loaded."""
    model, tokenizer, processor, runtime = load_zero_shot(
        config, "grounding_dino", ("grounding-dino", "mm-grounding-dino")
    )
    return GroundingDinoDetector(model, tokenizer, processor, config, runtime)
