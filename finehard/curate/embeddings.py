"""Pictures as vectors of a model, and hashes of the vectors that near ones share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finehard.curate.bands import Hashes
from finehard.curate.config import EmbeddingsConfig
from finehard.errors import FinehardError, error_line

WORDS = 4
"""Hashes of a vector: with 4, of pairs at a cosine of 0.95 one in fifty is missed (the sign of a
random projection differs with probability angle / pi: Charikar 2002)."""
DISTANCE = 24
"""Most bits of 64 in which hashes of candidates differ; at a cosine of 0.95 it is 6 on average."""
_BITS = 64
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
"""Of ImageNet, with which SSCD's pictures are normalised."""


class Embedder:
    """A loaded model of images."""

    def __init__(self, config: EmbeddingsConfig) -> None:
        """Raises `FinehardError` where there is no such model."""
        self._side = config.side
        self._script: Any = None
        self.batch = 32
        if config.model.endswith(".pt"):
            self._script = _load_script(config.model)
        else:
            from finehard.benchmarks.loading import load_model

            self._model = load_model(config.model)
            self.batch = self._model.batch

    def __call__(self, pictures: Sequence[Image.Image]) -> NDArray[np.float16]:
        """Returns the vectors of RGB pictures, (n, d), each of length 1."""
        encode = self._scripted if self._script else self._model.encode_images
        vectors: NDArray[Any] = encode(pictures)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.maximum(lengths, 1e-12)).astype("<f2")

    def _scripted(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        import torch

        size = self._side, self._side
        pixels = [np.asarray(p.resize(size, Image.Resampling.BILINEAR)) for p in pictures]
        shown: NDArray[Any] = (np.stack(pixels) / np.float32(255) - _MEAN) / _DEVIATION
        with torch.inference_mode():
            out = self._script(torch.from_numpy(shown.transpose(0, 3, 1, 2).copy()))
        vectors: NDArray[np.float32] = out.float().numpy()
        return vectors


def _load_script(path: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise FinehardError(f"{error}: install finehard[detect]") from None
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            return torch.jit.load(path, map_location="cpu").eval()  # what SSCD is published as
    except (RuntimeError, ValueError, OSError) as error:
        line = error_line(error, 160)
        raise FinehardError(f"curate.embeddings.model: no TorchScript in {path}: {line}") from None


def hashes(vectors: NDArray[Any]) -> Hashes:
    """Returns hashes of (n, d) vectors, (n, WORDS): the signs of random projections."""
    directions = np.random.Generator(np.random.PCG64(0)).standard_normal(
        (vectors.shape[1], WORDS * _BITS), np.float32
    )
    bits = (vectors.astype(np.float32) @ directions > 0).reshape(len(vectors), WORDS, _BITS)
    packed = np.ascontiguousarray(np.packbits(bits, axis=2))
    return packed.view(">u8")[..., 0].astype(np.uint64)
