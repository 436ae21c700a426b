"""Models trained here, and published FG-CLIP and FG-CLIP 2 checkpoints."""

from __future__ import annotations

from typing import Any

from finehard.benchmarks.model import Model
from finehard.benchmarks.models.fgclip import FGClipModel
from finehard.benchmarks.models.fgclip2 import FGClip2Model
from finehard.benchmarks.models.forward import Place, name_of
from finehard.fgclip.evaluate import sample_config
from finehard.fgclip.model import Network, load
from finehard.fgclip.siglip2 import FGCLIP2
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import load_tokenizer


def load_trained(spec: str, where: Place) -> Model:
    """Returns the FG-CLIP or FG-CLIP 2 in folder `spec`. Raises `FinehardError`."""
    network = load(spec).to(where.device).eval()
    return of_network(network, load_tokenizer(spec), where, name_of(spec), sample_config(spec))


def of_network(
    network: Network, tokenizer: Any, where: Place, name: str, sample: SampleConfig
) -> Model:
    """Returns `network` as benchmarks use it, on the device of `where`; images and texts are made
    as `sample` says."""
    if isinstance(network, FGCLIP2):
        return FGClip2Model(network, tokenizer, where, name, sample)
    return FGClipModel(network, tokenizer, where, name, sample.fit)
