"""Builds of captions alone, by `--pipeline recaption`, against real HTTP servers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from bench.simulated_server import MODEL
from finehard.building import build
from finehard.config import parse_config
from finehard.dataset.reader import open_dataset
from finehard.dataset.validate import validate
from finehard.planning import plan
from tests.lmm.faulty_server import FaultyServer
from tests.pipelines.world import ROOT, Server, config, images, manifest, sums

pytestmark = pytest.mark.slow

REFUSAL = "I'm sorry, but I can't assist with that request."
PLAIN, SCENE = "A red mug stands on a table.", "The mug on the table is red, and made of clay."
CAPTIONS = {
    0: (PLAIN, SCENE),
    1: (REFUSAL, SCENE),
    2: (PLAIN, None),
    3: (REFUSAL, None),
}
"""By image: what each captioner says; None: nothing that fits the schema."""


async def _reply(request: web.Request) -> web.StreamResponse:
    text = json.dumps(await request.json())
    picture = re.search(r"picture (\d+)", text)
    said = CAPTIONS[int(picture[1]) if picture else 0]["will draw it" in text]
    reply = json.dumps({"short_caption": "A red mug", "long_caption": said}) if said else "{}"
    message = {"role": "assistant", "content": reply}
    return web.json_response(
        {"model": MODEL, "choices": [{"message": message, "finish_reason": "stop"}]}
    )


def _settings(url: str, **captioners: Any) -> dict[str, Any]:
    return {
        "models": {"lmm": {"model": MODEL, "endpoints": [url], "window": 16}},
        "recaption": {"captioners": captioners},
        "max_rejected": 1.0,
    }


def _built(values: dict[str, Any], source: Path, output: Path) -> dict[str, Any]:
    config = parse_config(values, "test")
    return build(config, str(source), str(output), pipeline="recaption").manifest


def test_each_image_has_the_captions_that_are_usable(tmp_path: Path) -> None:
    source, output = images(tmp_path / "in", len(CAPTIONS)), tmp_path / "out"
    plain = {"show_alt_text": True}
    scene = {"show_alt_text": True, "prompt": "caption.scene.v1"}
    with FaultyServer() as server:
        server.always = _reply
        made = _built(_settings(server.url, plain=plain, scene=scene), source, output)
    assert validate(str(output)) == []
    samples = {sample.key: sample.json for sample in open_dataset(str(output))}
    told = {
        int(key): [(row["captioner"], row["long_caption"]) for row in sample["extra"]["captions"]]
        for key, sample in samples.items()
    }
    assert told == {
        0: [("plain", PLAIN), ("scene", SCENE)], 1: [("scene", SCENE)], 2: [("plain", PLAIN)],
    }  # fmt: skip
    for key, sample in samples.items():
        assert sample["long_caption"] == told[int(key)][0][1]
        assert sample["regions"] == [] and sample["alt_text"] == f"picture {key}"
        assert set(sample["provenance"]) == {"recaption-plain", "recaption-scene"}
    assert made["dropped"] == {
        "recaption-plain.refused_by_model": 1, "recaption-scene.invalid_reply": 1
    }  # fmt: skip
    [rejected] = pq.read_table(output / "rejected").to_pylist()
    assert (rejected["stage"], rejected["reason"]) == ("recaption-scene", "invalid_reply")
    assert {*made["prompts"]} == {"recaption-plain", "recaption-scene"}
    page, card = ((output / name).read_text() for name in ("report.html", "README.md"))
    assert "refused by model" in page and "<h2>Boxes</h2>" not in page
    assert "Images with short and long captions. Made by" in card


def test_another_captioner_is_the_only_one_asked(tmp_path: Path, server: Server) -> None:
    """Also as if it had been there from the start."""
    source = images(tmp_path / "in", 20)
    one, two = {"plain": {}}, {"plain": {}, "scene": {"prompt": "caption.scene.v1"}}
    made = _built(_settings(server.url, **one), source, tmp_path / "out")
    assert made["counts"]["written"] == 20 and made["usage"]["recaption-plain"]["requests"] == 20
    first = next(iter(open_dataset(str(tmp_path / "out")))).json
    assert (first["schema_version"], first["regions"]) == ("1.0", []) and "extra" not in first
    asked = len(server.answered())
    _built(_settings(server.url, **two), source, tmp_path / "out")
    assert len(server.answered()) - asked == 20 + 1  # one to try the server
    _built(_settings(server.url, **two), source, tmp_path / "new")
    assert sums(tmp_path / "out") == sums(tmp_path / "new")


def test_processes_that_join_caption_together(tmp_path: Path, server: Server) -> None:
    source, output = images(tmp_path / "in", 24), tmp_path / "out"
    captioners = {"plain": {}, "scene": {"prompt": "caption.scene.v1"}}
    values = _settings(server.url, **captioners)
    asked = plan(parse_config(values, "test"), str(source), pipeline="recaption").stages
    assert [(stage.stage, stage.requests) for stage in asked] == [
        ("recaption-plain", 24), ("recaption-scene", 24)
    ]  # fmt: skip
    settings = config(tmp_path, server.url, recaption=values["recaption"])
    command = [sys.executable, "-m", "finehard.cli", "build", "--join", "--pipeline", "recaption"]
    command += ["--config", settings, "--input", source, "--output", output]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for process in running:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert manifest(output)["pipeline"] == ["recaption-plain", "recaption-scene"]
    _built(json.loads(settings.read_text()), source, tmp_path / "alone")
    assert sums(output) == sums(tmp_path / "alone")
    assert validate(str(output)) == []
