"""Models, tokenizers and image processors in the folders of `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from finehard.benchmarks.model import TextKind
from finehard.errors import FinehardError, error_line


class Pretrained(NamedTuple):
    """A model in evaluation mode, and what makes its inputs."""

    model: Any
    tokenizer: Any
    processor: Any


def load_pretrained(spec: str, device: torch.device) -> Pretrained:
    """Returns what is in folder `spec`, or is the model with that Hub id; parameters in float32.

    Code that the folder brings is not run. Raises `FinehardError` where something is missing.
    """
    try:
        model, info = AutoModel.from_pretrained(
            spec, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(spec, trust_remote_code=False)
        processor = AutoImageProcessor.from_pretrained(spec, trust_remote_code=False)
    except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise FinehardError(f"no complete model in {spec}: {error_line(error)}") from None
    if missing := sorted(info["missing_keys"]):
        raise FinehardError(
            f"no complete model in {spec}: {len(missing)} parameters are missing, first "
            f"{missing[0]}"
        )
    return Pretrained(model.to(device).eval(), tokenizer, processor)


def token_ids(
    tokenizer: Any,
    texts: Sequence[str],
    limit: int,
    padding: str,
    cut: dict[TextKind, int],
    kind: TextKind,
) -> dict[str, Tensor]:
    """Returns the tokenizer's tensors for `texts`, cut to `limit` tokens and padded; adds to `cut`
    how many were cut. `padding` is "longest" or "max_length"."""
    whole = tokenizer(list(texts), verbose=False)["input_ids"]
    cut[kind] += sum(len(ids) > limit for ids in whole)
    return tokenizer(
        list(texts), padding=padding, truncation=True, max_length=limit, return_tensors="pt"
    )
