"""Text positions for long texts, made from those for short ones."""

from __future__ import annotations

import torch
from torch import Tensor

from finehard.fgclip.modeling_fgclip import STRETCH, UNSTRETCHED


def stretch_positions(table: Tensor) -> Tensor:
    """Returns the initial long position table: (77, D) to (248, D).

    The first 20 rows are unchanged; between the others three are interpolated, and the last row is
    extrapolated with the preceding slope (Long-CLIP, arXiv 2403.15378, section 3.1).
    """
    first, rest = table[:UNSTRETCHED], table[UNSTRETCHED:]
    if len(rest) < 2:
        return torch.cat([first, rest.repeat_interleave(STRETCH, 0)])
    slope = torch.cat([rest[1:] - rest[:-1], rest[-1:] - rest[-2:-1]])
    steps = torch.arange(STRETCH, dtype=table.dtype, device=table.device) / STRETCH
    stretched = rest[:, None] + steps[:, None] * slope[:, None]
    return torch.cat([first, stretched.flatten(0, 1)])
