"""The FLOPs of a training step by a formula, and what a device reaches at best."""

from __future__ import annotations

import time

import torch
from torch import nn

from finehard.fgclip.batch import Batch
from finehard.fgclip.model import Network
from finehard.fgclip.naflex import Patches
from finehard.fgclip.packing import Packing

_SIDE_GPU, _SIDE_CPU = 8192, 2048
"""Sides of the matrices that are multiplied: large enough to keep every core busy."""


def step_flops(model: Network, batch: Batch) -> float:
    """Returns the FLOPs of one forward and backward pass of `batch`, of matrix products only.

    2 a weight and token forward, twice as many backward where the tower is trained (PaLM, arXiv
    2204.02311, appendix B), of the tokens that are encoded: no padding that is left out, no prefix
    a second time. What gradient checkpointing and `accumulate` compute again does not count, nor do
    logits and the heads of single vectors.
    """
    return _vision(model, batch) + _text(model, batch)


def _vision(model: Network, batch: Batch) -> float:
    config, vision = model.config.vision_config, model.vision_model
    if isinstance(batch.pixels, Patches):
        images, patches = batch.pixels.mask.shape
        dense, tokens = model.dense_feature_head, patches
        attentions = config.num_hidden_layers + 1
    else:
        images, patches = len(batch.pixels), (config.image_size // config.patch_size) ** 2
        dense, tokens = model.visual_projection, patches + 1
        attentions = config.num_hidden_layers - 1  # the last layer's is that of one token
    attended = 4 * tokens**2 * config.hidden_size
    each = 2 * tokens * (_weights(vision.encoder) + _weights(dense))
    each += attended * attentions
    first = 2 * patches * sum(p.numel() for p in vision.embeddings.patch_embedding.parameters())
    trained = next(vision.encoder.parameters()).requires_grad
    return float(images * (each * _passes(trained) + first * (1 + trained)))


def _text(model: Network, batch: Batch) -> float:
    config, encoder = model.config.text_config, model.text_model.encoder
    texts = batch.packing
    if isinstance(texts, Packing):
        tokens, rows = len(texts.ids), list(texts.groups)
    else:
        rows = [(table.shape[1], len(table)) for table in (texts.short, texts.long)]
        tokens = sum(length * count for length, count in rows)
    pairs = sum(count * length**2 for length, count in rows)
    forward = 2 * tokens * _weights(encoder)
    forward += 4 * pairs * config.hidden_size * config.num_hidden_layers
    return float(forward * _passes(next(encoder.parameters()).requires_grad))


def _passes(trained: bool) -> int:
    return 3 if trained else 1


def _weights(module: nn.Module) -> int:
    """Returns the number of weights of `module`'s matrices; it has no embeddings."""
    return sum(p.numel() for p in module.parameters() if p.ndim == 2)


def matrix_rate(device: torch.device, precision: str) -> float:
    """Returns the FLOPs a second of a square matrix product, the fastest of five."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = _SIDE_GPU if device.type == "cuda" else _SIDE_CPU
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        float((a @ b)[0, 0])
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)
