"""FG-CLIP 2 (arXiv 2510.10921) for `transformers`' `AutoModel`, with `trust_remote_code=True`.

A copy of this file is in every FG-CLIP 2 folder that finehard writes; it needs torch, torchvision
and transformers only. Parameters have the published names. Features are not normalised.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align
from transformers import Siglip2Config, Siglip2Model
from transformers.models.siglip2.modeling_siglip2 import (
    Siglip2MultiheadAttentionPoolingHead,
    Siglip2TextEmbeddings,
)

UNSTRETCHED = 20
"""The first positions are those of short texts; the rest is stretched (Long-CLIP, sec. 3.1)."""
STRETCH = 4
LOG_SCALE = math.log(100)
"""Where the scales of regions and of hard negatives begin."""


class FGCLIP2TextEmbeddings(Siglip2TextEmbeddings):
    """SigLIP 2's text embeddings with two more position tables, for long texts."""

    def __init__(self, config) -> None:
        super().__init__(config)
        short, width = config.max_position_embeddings, config.hidden_size
        first = min(UNSTRETCHED, short)
        long = first + (short - first) * STRETCH  # 196 from 64
        self.position_embedding_res = nn.Embedding(long, width)
        self.position_embedding_ori = nn.Embedding(long, width)

    def positions(self) -> Tensor:
        """Returns the rows for short texts (64, H), followed by those for long texts (196, H)."""
        ori, res = self.position_embedding_ori.weight, self.position_embedding_res.weight
        short = self.position_embedding.weight
        return torch.cat([short, ori[:UNSTRETCHED], res[UNSTRETCHED:]])

    def forward(self, input_ids=None, position_ids=None, inputs_embeds=None) -> Tensor:
        """Returns (B, L, H) embeddings; `position_ids` are rows of `positions`, by default those
        for short texts."""
        if inputs_embeds is None:
            inputs_embeds = self.token_embedding(input_ids)
        length, short = inputs_embeds.shape[-2], self.position_embedding.num_embeddings
        if position_ids is None:
            if length > short:
                raise ValueError(f"a short text has at most {short} tokens, not {length}")
            position_ids = self.position_ids[:, :length]
        return inputs_embeds + functional.embedding(position_ids, self.positions())


class FGCLIP2Model(Siglip2Model):
    """SigLIP 2 with heads for long texts and for region texts, and a head for each patch."""

    def __init__(self, config: Siglip2Config) -> None:
        super().__init__(config)
        width = config.text_config.hidden_size
        self.text_model.embeddings = FGCLIP2TextEmbeddings(config.text_config)
        self.longtext_head = nn.Linear(width, width)
        self.boxtext_head = nn.Linear(width, width)
        self.dense_feature_head = Siglip2MultiheadAttentionPoolingHead(config.vision_config)
        self.logit_scale_finegraind = nn.Parameter(torch.tensor(LOG_SCALE))
        self.logit_scale_hardneg = nn.Parameter(torch.tensor(LOG_SCALE))
        self.post_init()

    def get_text_features(
        self, input_ids, attention_mask=None, position_ids=None, walk_type="short", **rest
    ):
        """Returns transformers' text output, its `pooler_output` the (B, D) features.

        `walk_type` is "short", "box" (the text of a region) or "long". Pad the texts, without a
        mask, to all 64 positions (196 for "long"): the model was trained so.
        """
        if walk_type == "short":
            return super().get_text_features(input_ids, attention_mask, position_ids, **rest)
        if walk_type not in ("box", "long"):
            raise ValueError(f"walk_type is short, box or long, not {walk_type!r}")
        if walk_type == "long":
            tables = self.text_model.embeddings
            length, most = input_ids.shape[-1], tables.position_embedding_res.num_embeddings
            if length > most:
                raise ValueError(f"a long text has at most {most} tokens, not {length}")
            rows = torch.arange(length, device=input_ids.device)[None]
            position_ids = rows + tables.position_embedding.num_embeddings
        head = self.boxtext_head if walk_type == "box" else self.longtext_head
        output = self.text_model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, **rest
        )
        output.pooler_output = head(output.last_hidden_state[:, -1])
        return output

    def get_image_dense_feature(
        self, pixel_values: Tensor, pixel_attention_mask: Tensor, spatial_shapes: Tensor
    ) -> Tensor:
        """Returns (B, P, D), a feature for each patch, row by row, then padding's."""
        states = self.vision_model(
            pixel_values=pixel_values,
            pixel_attention_mask=pixel_attention_mask,
            spatial_shapes=spatial_shapes,
        ).last_hidden_state
        return attend(self.dense_feature_head, states, states, pixel_attention_mask.bool())

    def get_image_region_features(
        self,
        pixel_values: Tensor,
        pixel_attention_mask: Tensor,
        spatial_shapes: Tensor,
        image_sizes: list,
        region_infos: list,
    ) -> list:
        """Returns for each image (r, D) features of its regions.

        `region_infos` are boxes, x1 y1 x2 y2 in pixels of an image with `image_sizes` (height,
        width).
        """
        dense = self.get_image_dense_feature(pixel_values, pixel_attention_mask, spatial_shapes)
        features = []
        for number, (height, width) in enumerate(spatial_shapes.tolist()):
            grid = dense[number, : height * width].T.unflatten(1, (height, width))[None]
            image_height, image_width = image_sizes[number]
            boxes = torch.tensor(region_infos[number], device=dense.device).float().reshape(-1, 4)
            scale = boxes.new_tensor([width / image_width, height / image_height] * 2)
            features.append(
                roi_align(
                    grid.float(), [boxes * scale], (1, 1), 1.0, sampling_ratio=-1, aligned=True
                )[:, :, 0, 0]
            )
        return features


def attend(head, queries: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """Returns (B, Q, D): pooling `head`'s attention from `queries` to those of (B, P, D) `states`
    that are in (B, P) bool `mask`, and its MLP."""
    attended = head.attention(queries, states, states, key_padding_mask=~mask, need_weights=False)[
        0
    ]
    return attended + head.mlp(head.layernorm(attended))
