"""The model against tensors of the published code; FINEHARD_GOLDEN names another file."""

import os
from pathlib import Path

import numpy as np
import pytest

from finehard.fgclip import golden

FILE = os.environ.get("FINEHARD_GOLDEN", Path(__file__).parent / "data" / "fgclip_v1_golden.npz")


@pytest.fixture(scope="module")
def differences() -> dict[str, tuple[float, float]]:
    return golden.differences(golden.read(FILE))


@pytest.mark.parametrize("part, count", [("out", 5), ("loss", 3), ("grad", 20)])
def test_model_and_losses_equal_the_published_code(differences, part, count):
    own = {k: v for k, v in differences.items() if k.startswith(f"{part}/")}
    assert len(own) >= count
    assert {k: v for k, (v, allowed) in own.items() if not v <= allowed} == {}


def test_differences_fail_the_command(tmp_path, capsys):
    with np.load(FILE) as file:
        arrays = dict(file)
    arrays["state/visual_projection.weight"] = arrays["state/visual_projection.weight"] * 1.001
    np.savez(tmp_path / "other.npz", **arrays)
    assert golden.main([str(tmp_path / "other.npz")]) == 1
    assert "out/image_features" in capsys.readouterr().out
