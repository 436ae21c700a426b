"""Texts for a bidirectional model: every distinct text once, padded to the length of its kind.

In SigLIP 2 padding is attended to, and the state at the last position is the text's, so neither
padding nor a prefix can be left out or shared. Equal texts can, and short texts need not be padded
to the length of long ones. Both are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from finehard.fgclip.packing import LONG, SHORT, Text


@dataclass(frozen=True)
class PaddedTexts:
    """The U distinct texts of a batch, short ones first.

    short  (S, 64) int64, padded token ids
    long   (U - S, 196) int64
    """

    short: Tensor
    long: Tensor

    def to(self, device: torch.device | str) -> PaddedTexts:
        """Returns the texts on `device`."""
        return PaddedTexts(
            self.short.to(device, non_blocking=True), self.long.to(device, non_blocking=True)
        )


def pad_texts(
    texts: Sequence[tuple[int, Text]], lengths: tuple[int, int], padding: int
) -> tuple[PaddedTexts, list[int]]:
    """Pads `texts`, each (SHORT or LONG, tokens); also returns each text's index.

    `lengths` are those of a short and of a long text; `padding` is the token that fills them.
    """
    distinct = list(dict.fromkeys(texts))
    ordered = sorted(distinct, key=lambda text: text[0] == LONG)  # stable
    index = {text: i for i, text in enumerate(ordered)}
    tables = []
    for kind, length in zip((SHORT, LONG), lengths, strict=True):
        rows = [[*ids, *[padding] * (length - len(ids))] for k, ids in ordered if k == kind]
        tables.append(torch.tensor(rows, dtype=torch.int64).reshape(-1, length))
    return PaddedTexts(*tables), [index[text] for text in texts]
