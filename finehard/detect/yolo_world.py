"""YOLO-World through ultralytics (AGPL-3.0, an optional extra).

Phrases are embedded with transformers' CLIP text model, which needs neither the `clip` package nor
a download.

A .pt file is a pickle. It is read with ultralytics' restricted loader, which only constructs known
model classes. `allow_pickle` turns the restriction off, for trusted files that it refuses.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from finehard.detect.boxes import Detection, postprocess
from finehard.detect.config import DetectConfig
from finehard.detect.letterbox import cxcywh_to_xyxy, letterbox, undo_letterbox
from finehard.detect.loading import (
    Runtime,
    bucket,
    fixed_batches,
    from_pretrained,
    load_model,
    prepare,
    require,
)
from finehard.detect.phrase_embedding import PhraseEmbedder
from finehard.errors import FinehardError, UsageError

SIZE = 640
STRIDE = 32
GREY = 114
"""Padding of ultralytics' own letterbox, with which the models were trained."""
SMALLEST_BUCKET = 32

_settings_folder: TemporaryDirectory[str] | None = None


def quiet_ultralytics() -> None:
    """Sets what ultralytics reads on import: no downloads, no pip, no files in the home folder.

    Variables that the user has set are left alone.
    """
    global _settings_folder
    if "YOLO_CONFIG_DIR" not in os.environ:
        _settings_folder = TemporaryDirectory(prefix="finehard-yolo-")
        os.environ["YOLO_CONFIG_DIR"] = _settings_folder.name
    for name, value in (
        ("YOLO_OFFLINE", "True"),
        ("YOLO_AUTOINSTALL", "False"),
        ("YOLO_VERBOSE", "False"),
    ):
        os.environ.setdefault(name, value)


def check_weights(config: DetectConfig) -> Any:
    """Returns `ultralytics.nn.tasks`. Raises `FinehardError` if ultralytics or `config.model` is
    missing."""
    quiet_ultralytics()
    tasks = require("ultralytics.nn.tasks", "yolo", "detect.backend")
    suffix = Path(config.model).suffix
    if suffix == ".yaml":
        try:  # a bare name may be an architecture that ships with ultralytics
            tasks.yaml_model_load(config.model)
        except (OSError, KeyError, TypeError, AttributeError) as error:
            raise _not_an_architecture(config, error) from error
    elif suffix != ".pt" or not Path(config.model).is_file():
        raise FinehardError(
            f"detect.model: there is no file {config.model!r}; yolo_world needs a local .pt file "
            "or a .yaml architecture (finehard fetch --config ... brings the published ones)."
        )
    return tasks


def _not_an_architecture(config: DetectConfig, error: Exception) -> FinehardError:
    reason = " ".join(str(error).split())
    return FinehardError(
        f"detect.model: {config.model!r} is not a YOLO-World architecture ({reason})."
    )


def load_weights(config: DetectConfig) -> Any:
    """Returns the network named by `config.model`. Raises `FinehardError`."""
    tasks = check_weights(config)
    if Path(config.model).suffix == ".yaml":
        try:
            return tasks.WorldModel(config.model, verbose=False)
        except (OSError, KeyError, TypeError, AttributeError) as error:
            raise _not_an_architecture(config, error) from error
    try:
        checkpoint, _ = tasks.torch_safe_load(config.model, safe_only=not config.allow_pickle)
        model = checkpoint.get("ema") or checkpoint["model"]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FinehardError(
            f"detect.model: cannot load {config.model!r} ({reason}); if you trust the file, "
            "detect.allow_pickle: true loads it and runs any code in it."
        ) from error
    if not isinstance(model, tasks.WorldModel):
        raise FinehardError(
            f"detect.model: {config.model!r} holds a {type(model).__name__}, not YOLO-World."
        )
    return model


class YoloWorldDetector:
    """Detects phrases with YOLO-World."""

    def __init__(
        self, model: Any, text_model: Any, tokenizer: Any, config: DetectConfig, runtime: Runtime
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._model = model
        self._size = config.image_size or SIZE
        if self._size % STRIDE:
            raise UsageError(f"detect.image_size: {self._size} is not a multiple of {STRIDE}.")

        def encode(ids: Any, mask: Any) -> Any:
            return text_model(input_ids=ids, attention_mask=mask).text_embeds

        longest = text_model.config.max_position_embeddings
        lengths = [length for length in (16, 32) if length < longest] + [longest]
        self._embed = PhraseEmbedder(tokenizer, encode, lengths, runtime)

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """Implements `Detector.detect`. Each box is assigned to its highest-scoring phrase."""
        detections: list[list[Detection]] = [[] for _ in images]
        by_count: dict[int, list[int]] = {}
        for index, asked in enumerate(phrases[: len(images)]):
            if asked:
                by_count.setdefault(bucket(len(asked), SMALLEST_BUCKET), []).append(index)
        for count, indices in by_count.items():
            for batch, real in fixed_batches(indices, self._runtime.rows):
                canvases = [
                    letterbox(images[index], self._size, GREY, centred=True) for index in batch
                ]
                boxes, scores, labels = self._forward(
                    np.stack([canvas for canvas, _ in canvases]),
                    [phrases[index] for index in batch],
                    count,
                )
                for row, index in enumerate(batch[:real]):
                    boxes_in_image = undo_letterbox(cxcywh_to_xyxy(boxes[row]), canvases[row][1])
                    detections[index] = postprocess(
                        boxes_in_image, scores[row], labels[row], self._config
                    )
        return detections

    def _forward(
        self, pixels: np.ndarray, phrases: list[list[str]], count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns boxes (rows, A, 4), cxcywh in canvas pixels; best scores and phrases (rows, A).

        Phrases are padded to `count` with copies of the first: the network takes a maximum over
        texts, which a copy does not change but a row of zeros could.
        """
        import torch

        with torch.inference_mode():
            texts = torch.stack(
                [self._embed(asked + [asked[0]] * (count - len(asked))) for asked in phrases]
            )
            values = torch.from_numpy(pixels).to(self._runtime.device).permute(0, 3, 1, 2)
            values = values.to(self._runtime.dtype) / 255
            # The head's output size depends on the number of texts.
            self._model.model[-1].nc = count
            output = self._model.predict(values.contiguous(), txt_feats=texts.to(values.dtype))
            output = (output[0] if isinstance(output, tuple) else output).float()
            # The scores of the padding are ignored.
            best = [
                row[4 : 4 + len(asked)].max(dim=0)
                for row, asked in zip(output, phrases, strict=True)
            ]
            scores = torch.stack([row.values for row in best]).cpu().numpy()
            labels = torch.stack([row.indices for row in best]).cpu().numpy()
            boxes = output[:, :4].transpose(1, 2).cpu().numpy()
        return boxes, scores, labels


def load_yolo_world(config: DetectConfig) -> YoloWorldDetector:
    """Returns the configured YOLO-World detector. Raises `FinehardError` if it cannot be loaded."""
    runtime = prepare(config)
    model = load_weights(config).to(runtime.device, runtime.dtype).eval().requires_grad_(False)
    tokenizer = from_pretrained("AutoTokenizer", config.text_model, "detect.text_model", None)
    text_model = load_model(
        "CLIPTextModelWithProjection", config.text_model, "detect.text_model", None, runtime
    )
    return YoloWorldDetector(model, text_model, tokenizer, config, runtime)
