"""Builds with `verify.captions: drop`, against real HTTP servers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from bench.simulated_server import MODEL, answer
from finehard.dataset.reader import open_dataset
from tests.faults.world import built, faulty, settings
from tests.lmm.faulty_server import FaultyServer
from tests.pipelines.world import images, sums

LONG = "A red mug stands on a table. A white lamp hangs above it. A blue bowl lies on the left."
FALSE = "A white lamp hangs above it."
CAPTIONS = (LONG, LONG.replace(FALSE, "A book lies there."), FALSE, "Nobody can tell.")
"""By image: with a false sentence, all true, all false, and one that gets no usable reply."""

pytestmark = pytest.mark.slow


async def _reply(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    content = asked["messages"][0]["content"]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    form = asked.get("response_format", {}).get("json_schema")
    value: Any = _value(form["name"], text, form["schema"]) if form else "yes"
    message = {"role": "assistant", "content": json.dumps(value)}
    return web.json_response(
        {"model": MODEL, "choices": [{"message": message, "finish_reason": "stop"}]}
    )


def _value(name: str, text: str, schema: dict[str, Any]) -> Any:
    if name == "caption":
        key = re.search(r"picture (\d+)", text)
        return {"short_caption": "A red mug", "long_caption": CAPTIONS[int(key[1]) if key else 0]}
    if name != "verify_caption":
        return answer(name, text, [], schema)
    lines = re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE)
    if CAPTIONS[3] in dict(lines).values():
        return {number: "maybe" for number, _ in lines}
    return {number: "no" if said == FALSE else "yes" for number, said in lines}


def test_a_false_sentence_is_in_no_text_and_no_region(tmp_path: Path) -> None:
    source, output = images(tmp_path / "in", len(CAPTIONS)), tmp_path / "out"
    with FaultyServer() as server:
        server.always = _reply
        asking = settings(
            server.url,
            caption={"show_alt_text": True},
            verify={"policy": "skip", "captions": "drop"},
            max_rejected=1.0,
        )
        made = built(asking, source, output)
    assert made["rejects"] == {"untrue_caption": 1, "invalid_reply": 1}
    rejected = pq.read_table(output / "rejected").to_pylist()
    assert {(row["stage"], row["reason"]) for row in rejected} == {
        ("verify_caption", "untrue_caption"),
        ("verify_caption", "invalid_reply"),
    }
    samples = [sample.json for sample in open_dataset(str(output))]
    captions = {LONG.replace(f" {FALSE}", ""), CAPTIONS[1]}
    assert {sample["long_caption"] for sample in samples} == captions
    assert "lamp" not in {r["phrase"].split()[-1] for s in samples for r in s["regions"]}
    assert all(sample["regions"] for sample in samples)
    assert made["dropped"]["verify_caption.long_untrue"] == 1
    assert samples[0]["provenance"]["verify_caption"] == made["stages"]["verify_caption"]
    assert made["usage"]["verify_caption"]["requests"] >= 4 and made["prompts"]["verify_caption"]
    page = (output / "report.html").read_text()
    for told in ("statements of captions not confirmed", FALSE, "captions verified"):
        assert told in page


def test_a_setting_tried_and_taken_back_leaves_equal_bytes(tmp_path: Path) -> None:
    source, output, log = images(tmp_path / "in", 6), tmp_path / "out", tmp_path / "log"
    with faulty(log) as server:
        plain = settings(server.url)
        manifest = built(plain, source, output)
        unverified = sums(output)
        assert "captions" not in manifest["config"]["verify"]
        log.write_text("")
        built({**plain, "verify": {"captions": "drop"}}, source, output)
        asked = [line.split()[1] for line in log.read_text().splitlines()]
        assert asked.count("verify_caption") == 7  # each image, and the rehearsal
        assert "caption" not in asked and sums(output) != unverified
        log.write_text("")
        built(plain, source, output)
        assert sums(output) == unverified and log.read_text() == ""
