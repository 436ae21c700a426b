"""A build with the compact reply and several regions in a verification request."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.simulated_server import COLORS
from finehard.dataset.reader import open_dataset
from tests.pipelines.world import Server, built, config, images, manifest

pytestmark = pytest.mark.slow


def test_negatives_and_verification_take_a_request_an_image(tmp_path: Path) -> None:
    server = Server(tmp_path / "log")
    settings = config(
        tmp_path,
        server.url,
        negatives={"prompt": "negatives.v2", "fill": True, "left_to_lexicon": 4},
        verify={"prompt": "verify.v3", "policy": "mark", "regions_per_request": 99},
    )
    source, output = images(tmp_path / "in", 12), tmp_path / "out"
    built(settings, source, output)
    server.close()
    made = manifest(output)
    assert made["counts"]["written"] == 12
    usage = made["usage"]
    assert usage["negatives"]["requests"] == usage["verify"]["requests"] == 12
    assert made["config"]["negatives"]["left_to_lexicon"] == 4
    assert made["config"]["verify"]["regions_per_request"] == 99
    regions = [region for sample in open_dataset(str(output)) for region in sample.json["regions"]]
    colored = [r for r in regions if any(color in r["short_expr"] for color in COLORS)]
    assert len(colored) > 12
    assert all(len(r["hard_negatives"]) > 5 for r in colored)  # the server names five
    assert all(n["verified"] is not None for r in colored for n in r["hard_negatives"])
