"""FG-CLIP 2 (arXiv 2510.10921) for training: `transformers`' Siglip2 with three text heads.

Texts are bidirectional and padded (`padded`), images NaFlex batches of patches (`naflex`).
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import roi_align
from transformers import Siglip2Config
from transformers.configuration_utils import PretrainedConfig

from finehard.errors import FinehardError
from finehard.fgclip.modeling_fgclip2 import LOG_SCALE, FGCLIP2Model, attend
from finehard.fgclip.naflex import Patches
from finehard.fgclip.padded import PaddedTexts
from finehard.fgclip.positions import stretch_positions
from finehard.fgclip.transfer import to_device

MODEL_TYPES = ("siglip2", "fgclip2")
"""`model_type` in config.json of SigLIP 2, of folders written here, and of FG-CLIP 2."""

SCALES = {"logit_scale_finegraind", "logit_scale_hardneg"}
"""Parameters of the published trainer that the published model is released without."""

_TABLES = "text_model.embeddings.position_embedding"
_HEAD = (
    "probe", "attention.in_proj_weight", "attention.in_proj_bias", "attention.out_proj.weight",
    "attention.out_proj.bias", "layernorm.weight", "layernorm.bias", "mlp.fc1.weight",
    "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias",
)  # fmt: skip
_BEYOND_SIGLIP = {
    f"{_TABLES}_ori.weight", f"{_TABLES}_res.weight", *SCALES,
    "longtext_head.weight", "longtext_head.bias", "boxtext_head.weight", "boxtext_head.bias",
    *(f"dense_feature_head.{name}" for name in _HEAD),
}  # fmt: skip


class DenseMap(NamedTuple):
    """(B, P, D) features of patches, row by row, and (B, 2) rows and columns of each image."""

    features: Tensor
    shapes: Tensor


class FGCLIP2(FGCLIP2Model):
    """FG-CLIP 2 for training. Features are not normalised, (..., D) with D the width."""

    @torch.no_grad()
    def init_from_siglip2(self) -> None:
        """Initialises the added parameters: positions stretched, heads copied, scales at 100."""
        tables = self.text_model.embeddings
        start = stretch_positions(tables.position_embedding.weight)
        tables.position_embedding_ori.weight.copy_(start)
        tables.position_embedding_res.weight.copy_(start)
        for head in (self.longtext_head, self.boxtext_head):
            head.load_state_dict(self.text_model.head.state_dict())
        self.dense_feature_head.load_state_dict(self.vision_model.head.state_dict())
        self.init_scales()

    @torch.no_grad()
    def init_scales(self) -> None:
        """Sets the scales of regions and of hard negatives to 100, as the published trainer."""
        self.logit_scale_finegraind.fill_(LOG_SCALE)
        self.logit_scale_hardneg.fill_(LOG_SCALE)

    def freeze_key_biases(self) -> FGCLIP2:
        """Lets no gradient into the biases of the heads' attention keys: softmax is invariant to
        them, so it is a rounding error, which Adam would scale up to full steps. Returns itself."""
        for head in (self.vision_model.head, self.dense_feature_head):
            head.attention.in_proj_bias.register_hook(_without_keys)
        return self

    def encode_images(self, patches: Patches, dense: bool = True) -> tuple[Tensor, Any]:
        """Returns (B, D) image features, and the `DenseMap`, None when `dense` is false."""
        vision, pixels = self.vision_model, patches.pixels
        if pixels.dtype == torch.uint8:
            pixels = pixels / 127.5 - 1
        states = vision.embeddings(pixels, patches.shapes)
        keys = patches.mask[:, None, None]
        states = vision.encoder(inputs_embeds=states, attention_mask=keys).last_hidden_state
        states = vision.post_layernorm(states)
        probe = vision.head.probe.expand(len(states), -1, -1)
        image = attend(vision.head, probe, states, patches.mask)[:, 0]
        if not dense:
            return image, None
        features = attend(self.dense_feature_head, states, states, patches.mask)
        return image, DenseMap(features, patches.shapes)

    def region_features(self, dense: DenseMap, boxes: Tensor, images: Tensor) -> Tensor:
        """Returns (R, D) features of normalised xyxy (R, 4) `boxes` on `dense`, rows (R,) `images`.

        RoIAlign with a 1 x 1 output on the map of each image, as published. The maps are laid side
        by side in one array, their last row and column repeated, as RoIAlign does beyond an edge.
        """
        device = dense.features.device
        places = to_device(_places(dense.shapes), device)
        wide = dense.features.shape[-1]
        index = places.flatten(1)[..., None].expand(-1, -1, wide)
        maps = dense.features.gather(1, index).unflatten(1, places.shape[1:]).permute(0, 3, 1, 2)
        sizes = to_device(dense.shapes.flip(1).repeat(1, 2), device)
        rois = torch.cat(
            [images[:, None].to(boxes.dtype), boxes * sizes.index_select(0, images)], 1
        )
        with torch.autocast(device.type, enabled=False):
            return roi_align(
                maps.float(), rois.float(), (1, 1), 1.0, sampling_ratio=-1, aligned=True
            )[:, :, 0, 0]

    def encode_texts(self, texts: PaddedTexts) -> Tensor:
        """Returns (U, H) states of the distinct texts, before a head is applied."""
        text, tables = self.text_model, self.text_model.embeddings
        rows, short = tables.positions(), tables.position_embedding.num_embeddings
        states = []
        for ids, start in ((texts.short, 0), (texts.long, short)):
            if not len(ids):
                continue
            places = rows[start : start + ids.shape[1]]
            embedded = tables.token_embedding(ids) + places
            encoded = text.encoder(inputs_embeds=embedded, attention_mask=None).last_hidden_state
            states.append(text.final_layer_norm(encoded[:, -1]))
        return torch.cat(states)

    def short_features(self, states: Tensor) -> Tensor:
        """Returns (U, D) features of short captions from `encode_texts`' states."""
        return self.text_model.head(states)

    def region_text_features(self, states: Tensor) -> Tensor:
        """Returns (U, D) features of texts of regions from `encode_texts`' states."""
        return self.boxtext_head(states)

    def long_features(self, states: Tensor) -> Tensor:
        """Returns (U, D) features of long texts from `encode_texts`' states."""
        return self.longtext_head(states)


def _without_keys(gradient: Tensor) -> Tensor:
    queries, keys, values = gradient.chunk(3)
    return torch.cat([queries, torch.zeros_like(keys), values])


def _places(shapes: Tensor) -> Tensor:
    """Returns (B, h, w) the patch at each place of a map as large as the largest of (B, 2)
    `shapes`; beyond an image's own map, the patches at its edge."""
    height, width = shapes.amax(0).tolist()
    rows = torch.minimum(torch.arange(height), shapes[:, :1] - 1)
    columns = torch.minimum(torch.arange(width), shapes[:, 1:] - 1)
    return rows[:, :, None] * shapes[:, 1, None, None] + columns[:, None]


def build(config: Siglip2Config) -> FGCLIP2:
    """Returns a new model with random weights, drawn from torch's random state."""
    model = FGCLIP2(config)
    with torch.no_grad():  # SigLIP, arXiv 2303.15343, section 3.2
        model.logit_scale.fill_(2.302585)
        model.logit_bias.fill_(-10)
    model.init_from_siglip2()
    return model.freeze_key_biases()


def load(name: str | os.PathLike[str]) -> FGCLIP2:
    """Loads the model in a folder (or of a model hub name), in float32.

    Accepts FG-CLIP 2 with the published parameter names, with and without the trainer's scales, and
    plain SigLIP 2 (NaFlex), from which the added parameters are initialised. Raises `FinehardError`
    where parameters are missing or unexpected, `OSError` and `ValueError` where there is no model.
    """
    config = read_config(name)
    model, info = FGCLIP2.from_pretrained(
        os.fspath(name), config=config, dtype=torch.float32, output_loading_info=True
    )
    missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
    odd = sorted(missing - SCALES if missing != _BEYOND_SIGLIP else ()) + sorted(unexpected)
    odd += sorted(str(k) for k in info.get("mismatched_keys", ()))
    if odd:
        raise FinehardError(
            f"{name} is not a complete SigLIP 2 or FG-CLIP 2 model: {len(odd)} parameters are "
            f"missing or unexpected, first {odd[0]}"
        )
    if missing == _BEYOND_SIGLIP:
        model.init_from_siglip2()
    elif missing:
        model.init_scales()
    loaded: FGCLIP2 = model.float()
    return loaded.freeze_key_biases()


def is_siglip2(name: str | os.PathLike[str]) -> bool:
    """Returns whether the model in a folder, or of a hub name, is SigLIP 2 or FG-CLIP 2. Raises
    `OSError`, `ValueError` where there is none."""
    values: dict[str, Any] = PretrainedConfig.get_config_dict(os.fspath(name))[0]
    return values.get("model_type") in MODEL_TYPES


def read_config(name: str | os.PathLike[str]) -> Siglip2Config:
    """Returns the config of a SigLIP 2 or FG-CLIP 2 model. Raises `OSError`, `ValueError`."""
    values: dict[str, Any] = PretrainedConfig.get_config_dict(os.fspath(name))[0]
    towers = {
        tower: {k: v for k, v in values.get(tower, {}).items() if k != "model_type"}
        for tower in ("text_config", "vision_config")
    }
    return Siglip2Config(**towers)


def from_state(config: Siglip2Config, state: dict[str, Any]) -> FGCLIP2:
    """Returns a model with the parameters of `state`, published names; the trainer's scales may be
    missing. Raises `FinehardError`."""
    model = FGCLIP2(config)
    names = set(model.state_dict())
    odd = sorted((names - state.keys()) - SCALES) + sorted(state.keys() - names)
    if odd:
        raise FinehardError(f"{len(odd)} parameters are missing or unexpected, first {odd[0]}")
    model.load_state_dict(state, strict=False)
    return model
