"""FG-CLIP (arXiv 2505.05071) for `transformers`' `AutoModel`, with `trust_remote_code=True`.

A copy of this file is in every model folder that finehard writes; it needs torch, torchvision and
transformers only. Features are not normalised.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.modeling_clip import CLIPTextEmbeddings

UNSTRETCHED = 20
"""The first positions are those of short texts; the rest is stretched (Long-CLIP, sec. 3.1)."""
STRETCH = 4


def long_positions(short: int) -> int:
    """Returns the length of the long position tables made from `short` positions: 248 from 77."""
    first = min(UNSTRETCHED, short)
    return first + (short - first) * STRETCH


class FGCLIPTextEmbeddings(CLIPTextEmbeddings):
    """CLIP's text embeddings with two more position tables, for long texts."""

    def __init__(self, config) -> None:
        super().__init__(config)
        long, width = long_positions(config.max_position_embeddings), config.hidden_size
        self.position_embedding_res = nn.Embedding(long, width)
        self.position_embedding_ori = nn.Embedding(long, width)

    def positions(self) -> Tensor:
        """Returns the rows for short texts (77, H), followed by those for long texts (248, H)."""
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


class FGCLIPModel(CLIPModel):
    """CLIP with long texts, a head for them, a dense feature map, and features of regions.

    Without `walk_short_pos=False` it is CLIP: `get_image_features`, `get_text_features` and calls
    return what `CLIPModel`'s do.
    """

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        text = config.text_config
        self.text_model.embeddings = FGCLIPTextEmbeddings(text)
        self.text_filip_projection = nn.Linear(text.hidden_size, config.projection_dim, bias=False)
        self.logit_scale_finegraind = nn.Parameter(torch.tensor(config.logit_scale_init_value))
        self.logit_scale_hardneg = nn.Parameter(torch.tensor(config.logit_scale_init_value))
        self.post_init()

    def get_text_features(
        self, input_ids, attention_mask=None, position_ids=None, walk_short_pos=True, **rest
    ):
        """Returns transformers' text output, its `pooler_output` the (B, D) features.

        Texts are short, at most 77 tokens; with `walk_short_pos` false long, at most 248.
        """
        if walk_short_pos:
            return super().get_text_features(input_ids, attention_mask, position_ids, **rest)
        tables = self.text_model.embeddings
        length, most = input_ids.shape[-1], tables.position_embedding_res.num_embeddings
        if length > most:
            raise ValueError(f"a long text has at most {most} tokens, not {length}")
        rows = torch.arange(length, device=input_ids.device)[None]
        output = self.text_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=rows + tables.position_embedding.num_embeddings,
            **rest,
        )
        output.pooler_output = self.text_filip_projection(output.pooler_output)
        return output

    def get_image_dense_features(self, pixel_values: Tensor) -> Tensor:
        """Returns (B, h * w, D), a feature for each patch, row by row.

        They are the last layer's without attention between patches.
        """
        vision = self.vision_model
        states = vision.pre_layrnorm(vision.embeddings(pixel_values))
        for layer in vision.encoder.layers[:-1]:
            states = layer(states, None)
        layer, states = vision.encoder.layers[-1], states[:, 1:]
        attention = layer.self_attn
        states = states + attention.out_proj(attention.v_proj(layer.layer_norm1(states)))
        states = states + layer.mlp(layer.layer_norm2(states))
        return self.visual_projection(vision.post_layernorm(states))

    def get_image_box_roi_features(self, pixel_values: Tensor, box_info: list) -> Tensor:
        """Returns (R, D) features of regions: for each image (r, 4) boxes, x1 y1 x2 y2 in patches
        of the dense map (0 to `image_size / patch_size`)."""
        dense = self.get_image_dense_features(pixel_values)
        patch = self.vision_model.embeddings.patch_size
        height, width = (side // patch for side in pixel_values.shape[-2:])
        dense = dense.transpose(1, 2).unflatten(2, (height, width))
        boxes = [torch.as_tensor(b, device=dense.device).float().reshape(-1, 4) for b in box_info]
        return roi_align(dense.float(), boxes, (1, 1), 1.0, sampling_ratio=-1, aligned=True)[
            :, :, 0, 0
        ]
