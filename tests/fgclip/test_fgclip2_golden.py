"""FG-CLIP 2's objective against float64 references, in one process and in two."""

import numpy as np
import pytest
import torch

from finehard.fgclip import distributed
from finehard.fgclip.chunked import ELEMENTS
from finehard.fgclip.config import load_train_config
from finehard.fgclip.model import build
from finehard.fgclip.objective import Features, Labels, Objective

from . import fgclip2_reference as reference
from . import two_processes
from .conftest import tiny_config

LOSSES, GRADIENTS = 1e-5, 1e-4


def compare(rank: int) -> list[dict[str, float]]:
    """How far process `rank`'s losses and gradients are from the file's, 1 being what is allowed:
    with all logits at once, and in chunks of one row."""
    return [differences(rank, elements) for elements in (ELEMENTS, 1)]


def differences(rank: int, elements: int) -> dict[str, float]:
    with np.load(reference.FILE) as file:
        golden = {name: torch.as_tensor(file[name]) for name in file.files}
    objective = Objective(build(tiny_config()), load_train_config("fgclip2").objective, elements)
    objective.threshold = golden["threshold"].float()
    own = [golden[f"{rank}/{name}"] for name in reference.NAMES]
    none = torch.zeros((0, 0, own[0].shape[1]))
    values = [*own, none.flatten(0, 1), none.flatten(0, 1), none, golden["scalars"]]
    features = Features(*(v.float().requires_grad_() for v in values))
    rows = [torch.arange(len(getattr(features, n))) for n in ("image", "region", "hard")]
    valid = torch.ones(features.negative.shape[:2], dtype=torch.bool)
    labels = Labels(*rows[:1] * 4, rows[1], rows[1], rows[2], valid.long(), valid, valid[:0, :0])
    losses = objective.losses(features, labels)
    losses["loss"].backward()
    found = {n: apart(v.detach(), golden[f"{rank}/loss/{n}"]) / LOSSES for n, v in losses.items()}
    # The file's gradients are those of the mean over two processes, which DDP makes.
    for name in reference.NAMES:
        gradient = getattr(features, name).grad / 2
        found[f"grad/{name}"] = apart(gradient, golden[f"{rank}/grad/{name}"]) / GRADIENTS
    scalars = distributed.all_sum(features.scalars.grad) / 2
    found["grad/scalars"] = apart(scalars, golden["grad/scalars"]) / GRADIENTS
    found["threshold"] = apart(objective.threshold, golden["threshold/after"]) / LOSSES
    return found


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.slow
def test_losses_and_gradients_equal_the_references(tmp_path):
    for results in two_processes.run(compare, tmp_path):
        for found in results:
            assert len(found) == 8 + 8 + 2
            assert {name: x for name, x in found.items() if not x <= 1} == {}


def test_the_file_is_what_the_references_give():
    with np.load(reference.FILE) as file:
        for name, value in reference.make().items():
            np.testing.assert_allclose(file[name], value, rtol=1e-12, atol=1e-14, err_msg=name)
