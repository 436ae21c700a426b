"""Small models, and one thread: tests run beside each other."""

import pytest
import torch
from transformers import CLIPConfig

torch.set_num_threads(1)


def tiny_config(vocab: int = 120, **text: int) -> CLIPConfig:
    ends = {"bos_token_id": vocab - 2, "eos_token_id": vocab - 1, "pad_token_id": vocab - 1}
    tower = {"num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 16}
    return CLIPConfig(
        text_config={
            "vocab_size": vocab, "hidden_size": 16, "intermediate_size": 32,
            "max_position_embeddings": 77, **tower, **ends, **text,
        },
        vision_config={
            "hidden_size": 24, "intermediate_size": 48, "image_size": 32, "patch_size": 8, **tower,
        },
        projection_dim=16,
    )  # fmt: skip


@pytest.fixture(scope="session")
def clip_config() -> CLIPConfig:
    return tiny_config()
