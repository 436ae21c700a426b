"""Curation by models: similarity of image and text, and copies by embeddings."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessor, CLIPModel

from bench.altered import ALTERATIONS
from finehard.curate.bands import BANDS, Band
from finehard.curate.config import CurateConfig, EmbeddingsConfig, SimilarityConfig
from finehard.curate.embeddings import DISTANCE, WORDS, Embedder, hashes
from finehard.curate.judge import Judge
from finehard.curating import curate
from finehard.errors import FinehardError
from finehard.fgclip.config import scratch_clip
from finehard.fgclip.tokenizer import make_tokenizer
from tests.benchmarks.models.conftest import SMALL, TEXTS
from tests.curate.pictures import dataset, jpeg, scene
from tests.pictures import record

pytestmark = pytest.mark.slow


class Small(torch.nn.Module):
    """Stands for SSCD: the picture in 6 x 6 colours, without their mean."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, d) features of (n, 3, h, w) pixels."""
        small = torch.nn.functional.adaptive_avg_pool2d(pixels, 6).flatten(1)
        return small - small.mean(1, keepdim=True)


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A TorchScript file."""
    path = str(tmp_path / "small.pt")
    torch.jit.script(Small()).save(path)
    return path


def test_a_torchscript_model_finds_what_hashes_do_not(tmp_path: Path, script: str) -> None:
    pictures = {f"k{n}": jpeg(scene(n)) for n in range(6)}
    turned = jpeg(scene(2).rotate(8, expand=False, fillcolor=(128, 128, 128)))
    old = dataset(tmp_path, {**pictures, "turned": turned})
    assert curate(str(old), str(tmp_path / "hashes")).left_out == {}
    config = CurateConfig(embeddings=EmbeddingsConfig(script, cosine=0.95, side=96))
    done = curate(str(old), str(tmp_path / "new"), config)
    assert done.left_out == {"similar_embedding": 1}


def test_hashes_of_vectors_find_nearly_all_near_ones(script: str) -> None:
    chance = np.random.default_rng(0)
    one = chance.standard_normal((400, 64)).astype(np.float32)
    away = chance.standard_normal((400, 64)).astype(np.float32)
    away -= one * ((one * away).sum(1) / (one * one).sum(1))[:, None]
    away *= (np.linalg.norm(one, axis=1) / np.linalg.norm(away, axis=1))[:, None]
    other = 0.95 * one + np.sqrt(1 - 0.95**2) * away  # a cosine of 0.95
    stored, asked = hashes(one), hashes(other)
    found: set[int] = set()
    for word in range(WORDS):
        for band in range(BANDS):
            for near in Band(band, stored[:, word]).near(asked[:, word], DISTANCE):
                found |= {int(n) for n in near.stored[near.stored == near.asked]}
    assert len(found) >= 0.95 * 400


def test_vectors_have_length_one(script: str) -> None:
    pictures = [scene(0), ALTERATIONS["resized"](scene(0), random.Random(0)), scene(1)]
    vectors = Embedder(EmbeddingsConfig(script, side=64))(pictures).astype(np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    assert vectors[0] @ vectors[1] > 0.99 > vectors[0] @ vectors[2]


def test_texts_unlike_their_images_are_left_out(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(TEXTS, SMALL.vocabulary)
    torch.manual_seed(1)
    CLIPModel(scratch_clip(SMALL, len(tokenizer))).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    crop = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=crop).save_pretrained(tmp_path)
    of = record(width=300, height=300, alt_text="a red square")
    for least, expected in ((1.0, "unlike_its_text"), (-1.0, None)):
        judge = Judge(CurateConfig(similarity=SimilarityConfig(str(tmp_path), least)))
        reason = judge.reason(of, scene(0))
        assert (reason and reason.name) == expected
        assert judge.reason(record(width=300, height=300), scene(0)) is None


def test_a_missing_script_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FinehardError, match="no TorchScript in"):
        Embedder(EmbeddingsConfig(str(tmp_path / "gone.pt")))
