"""FG-CLIP (arXiv 2505.05071) on transformers' CLIP modules, under the published parameter names.

Added to CLIP: text positions for 248 tokens (two more tables), a head for long texts, a dense
feature map with region features, and two more scales.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align
from transformers import CLIPConfig
from transformers.utils import logging

from finehard.errors import FinehardError, error_line
from finehard.fgclip import siglip2
from finehard.fgclip.modeling_fgclip import FGCLIPModel
from finehard.fgclip.packing import ATTENTION, Packing
from finehard.fgclip.positions import stretch_positions
from finehard.fgclip.siglip2 import FGCLIP2

_TABLES = "text_model.embeddings.position_embedding"
_BEYOND_CLIP = {
    f"{_TABLES}_ori.weight", f"{_TABLES}_res.weight", "text_filip_projection.weight",
    "logit_scale_finegraind", "logit_scale_hardneg",
}  # fmt: skip


class FGCLIP(FGCLIPModel):
    """FG-CLIP for training: batches of packed texts, image and dense map in one pass.

    Features are not normalised, (..., D) with D the projection size.
    """

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        if getattr(config, "logit_bias_init_value", None) is not None:
            self.add_logit_bias(config.logit_bias_init_value)
        self.text_model.config._attn_implementation = ATTENTION

    def add_logit_bias(self, value: float) -> None:
        """Adds the bias of a sigmoid loss, which the published FG-CLIP has not; it is saved too."""
        self.config.logit_bias_init_value = value
        self.logit_bias = nn.Parameter(torch.tensor(float(value)))

    @torch.no_grad()
    def init_from_clip(self) -> None:
        """Initialises the added parameters: positions stretched, head and scales copied."""
        tables = self.text_model.embeddings
        start = stretch_positions(tables.position_embedding.weight)
        tables.position_embedding_ori.weight.copy_(start)
        tables.position_embedding_res.weight.copy_(start)
        self.text_filip_projection.weight.copy_(self.text_projection.weight)
        self.logit_scale_finegraind.copy_(self.logit_scale)
        self.logit_scale_hardneg.copy_(self.logit_scale)

    def encode_images(self, pixels: Tensor, dense: bool = True) -> tuple[Tensor, Any]:
        """Returns (B, D) image features of normalised (B, 3, S, S) `pixels`, and the dense map.

        The map, (B, D, h, w), is the last layer without attention between patches. It is None when
        `dense` is false.
        """
        vision = self.vision_model
        states = vision.pre_layrnorm(vision.embeddings(pixels))
        for layer in vision.encoder.layers[:-1]:
            states = layer(states, None)
        # In the last layer, the image needs only the class token, and the map needs no attention.
        # Both use the same values.
        layer = vision.encoder.layers[-1]
        attention = layer.self_attn
        normed = layer.layer_norm1(states)
        values = attention.v_proj(normed)
        q, k, v = (
            x.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)
            for x in (attention.q_proj(normed[:, :1]), attention.k_proj(normed), values)
        )
        attended = functional.scaled_dot_product_attention(q, k, v, scale=attention.scale)
        first = states[:, :1] + attention.out_proj(attended.transpose(1, 2).flatten(2))
        patches = states[:, 1:] + attention.out_proj(values[:, 1:]) if dense else states[:, :0]
        states = torch.cat([first, patches], 1)
        states = states + layer.mlp(layer.layer_norm2(states))
        features = self.visual_projection(vision.post_layernorm(states))
        if not dense:
            return features[:, 0], None
        side = pixels.shape[-1] // vision.embeddings.patch_size
        return features[:, 0], features[:, 1:].transpose(1, 2).unflatten(2, (-1, side))

    def region_features(self, dense: Tensor, boxes: Tensor, images: Tensor) -> Tensor:
        """Returns (R, D) features of normalised xyxy (R, 4) `boxes` on `dense`, rows (R,) `images`.

        As published: RoIAlign with a 1 x 1 output on the (B, D, h, w) dense map.
        """
        height, width = dense.shape[2:]
        # By numbers of the host: a tensor of them would have to wait for the GPU.
        scaled = torch.stack((boxes[:, ::2] * width, boxes[:, 1::2] * height), 2).flatten(1)
        rois = torch.cat([images[:, None].to(boxes.dtype), scaled], 1)
        with torch.autocast(dense.device.type, enabled=False):
            return roi_align(
                dense.float(), rois.float(), (1, 1), 1.0, sampling_ratio=-1, aligned=True
            )[:, :, 0, 0]

    def encode_texts(self, packing: Packing) -> Tensor:
        """Returns (U, H) states at the ends of the packed texts, before a head is applied."""
        text = self.text_model
        tables = text.embeddings
        rows = packing.depths + packing.long * tables.position_embedding.num_embeddings
        # Embedding lookups sum their gradients exactly and in a fixed order.
        states = tables.token_embedding(packing.ids)
        states = states + functional.embedding(rows, tables.positions())
        states = states[None]
        for layer in text.encoder.layers:
            states = layer(states, None, packing=packing)
        return text.final_layer_norm(states[0].index_select(0, packing.ends))

    def short_features(self, states: Tensor) -> Tensor:
        """Returns (U, D) features of short texts from `encode_texts`' states."""
        return self.text_projection(states)

    def region_text_features(self, states: Tensor) -> Tensor:
        """Returns (U, D) features of region texts from `encode_texts`' states, as of short ones."""
        return self.text_projection(states)

    def long_features(self, states: Tensor) -> Tensor:
        """Returns (U, D) features of long texts from `encode_texts`' states."""
        return self.text_filip_projection(states)


Network = FGCLIP | FGCLIP2
"""A model that can be trained."""


def build(config: CLIPConfig) -> FGCLIP:
    """Returns a new model with random weights, drawn from torch's random state."""
    model = FGCLIP(config)
    model.init_from_clip()
    return model


def load(name: str | os.PathLike[str]) -> Network:
    """Loads the model in a folder (or of a model hub name), in float32.

    Accepts FG-CLIP and FG-CLIP 2 with the published parameter names, folders written by `save`, and
    plain CLIP and SigLIP 2, from which the added parameters are initialised. Raises
    `FinehardError` where parameters are missing or unexpected.
    """
    try:
        with _quiet():  # no report of the parameters that CLIP lacks
            if siglip2.is_siglip2(name):
                return siglip2.load(name)
            model, info = FGCLIP.from_pretrained(
                os.fspath(name), dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        line = error_line(error)
        if os.path.isabs(name) and not os.path.exists(name):
            line = "no such folder"
        raise FinehardError(f"no CLIP, SigLIP 2 or FG-CLIP model in {name}: {line}") from None
    missing = set(info["missing_keys"])
    unexpected = {k for k in info["unexpected_keys"] if not k.endswith("position_ids")}
    odd = sorted(missing if missing != _BEYOND_CLIP else set()) + sorted(unexpected)
    if odd or info.get("mismatched_keys"):
        odd += sorted(str(k) for k in info.get("mismatched_keys", ()))
        raise FinehardError(
            f"{name} is not a complete CLIP or FG-CLIP model: {len(odd)} parameters are missing or "
            f"unexpected, first {odd[0]}"
        )
    if missing:
        model.init_from_clip()
    return model.float()


def save(model: Network, folder: str | os.PathLike[str]) -> None:
    """Writes a Hugging Face model folder with the published parameter names: the published code,
    `load`, and (for images and short texts) `CLIPModel` or `Siglip2Model` read it."""
    with _quiet():
        model.save_pretrained(os.fspath(folder))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences reports and progress bars of transformers."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def from_state(config: CLIPConfig, state: dict[str, Any]) -> FGCLIP:
    """Returns a model with the parameters of `state`, published names, none missing or unexpected.

    Raises `FinehardError`.
    """
    model = FGCLIP(config)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise FinehardError(error_line(error, 400)) from None
    return model
