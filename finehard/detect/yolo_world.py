"""YOLO-World through ultralytics (AGPL-3.0, an optional extra).

Phrases are embedded with transformers' CLIP text model and handed to the network, so no `clip`
package and no download is needed.

A .pt file is a pickle. It is read with ultralytics' restricted loader, which rebuilds known model
classes only; `allow_pickle` turns that off, for files that the restricted loader refuses and that
you trust as much as a program.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from finehard.detect.boxes import Detection, tidy
from finehard.detect.config import DetectConfig
from finehard.detect.letterbox import back, corners, letterbox
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
# The grey of ultralytics' own letterbox, on which the models were trained.
GREY = 114
SMALLEST_BUCKET = 32

_settings_folder: TemporaryDirectory[str] | None = None


def quiet_ultralytics() -> None:
    """Set what ultralytics reads on import: no download, no pip, no settings in the home folder.

    Values that the user has set stay.
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
            "or a .yaml architecture (weights are not downloaded)."
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
            f"detect.model: cannot load {config.model!r} ({reason}); if you trust the file like a "
            "program, detect.allow_pickle: true loads it without checks."
        ) from error
    if not isinstance(model, tasks.WorldModel):
        raise FinehardError(
            f"detect.model: {config.model!r} holds a {type(model).__name__}, not YOLO-World."
        )
    return model


class YoloWorldDetector:
    """Detector over YOLO-World."""

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
        """As in Detector. Each box goes to the phrase that scores highest on it."""
        found: list[list[Detection]] = [[] for _ in images]
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
                    placed = back(corners(boxes[row]), canvases[row][1])
                    found[index] = tidy(placed, scores[row], labels[row], self._config)
        return found

    def _forward(
        self, pixels: np.ndarray, phrases: list[list[str]], count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (rows, A, 4) cxcywh in canvas pixels, best scores and their phrases (rows, A).

        Phrases are filled up to `count` with copies of the first one. The network takes a maximum
        over texts, which a copy cannot change and a row of zeros can.
        """
        import torch

        with torch.inference_mode():
            texts = torch.stack(
                [self._embed(asked + [asked[0]] * (count - len(asked))) for asked in phrases]
            )
            values = torch.from_numpy(pixels).to(self._runtime.device).permute(0, 3, 1, 2)
            values = values.to(self._runtime.dtype) / 255
            # The head sizes its output by the number of texts.
            self._model.model[-1].nc = count
            output = self._model.predict(values.contiguous(), txt_feats=texts.to(values.dtype))
            output = (output[0] if isinstance(output, tuple) else output).float()
            # The copies' scores are not read.
            best = [
                row[4 : 4 + len(asked)].max(dim=0)
                for row, asked in zip(output, phrases, strict=True)
            ]
            scores = torch.stack([row.values for row in best]).cpu().numpy()
            labels = torch.stack([row.indices for row in best]).cpu().numpy()
            boxes = output[:, :4].transpose(1, 2).cpu().numpy()
        return boxes, scores, labels


def load_yolo_world(config: DetectConfig) -> YoloWorldDetector:
    """The YOLO-World detector of the config. Raises FinehardError when it cannot be loaded."""
    runtime = prepare(config)
    model = load_weights(config).to(runtime.device, runtime.dtype).eval().requires_grad_(False)
    tokenizer = from_pretrained("AutoTokenizer", config.text_model, "detect.text_model", None)
    text_model = load_model(
        "CLIPTextModelWithProjection", config.text_model, "detect.text_model", None, runtime
    )
    return YoloWorldDetector(model, text_model, tokenizer, config, runtime)
