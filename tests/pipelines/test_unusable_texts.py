"""A build with captions and region texts as models really give them, against a real HTTP server."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bench.simulated_server import MODEL, answer
from finehard.dataset.reader import open_dataset
from tests.faults.world import built, settings
from tests.lmm.faulty_server import FaultyServer
from tests.pipelines.world import images

GOOD = "A red mug stands beside a blue bowl. A white lamp hangs above a brown table."
REFUSAL = "I'm sorry, but I can't help with that."
CAPTIONS = (
    ("A red mug", GOOD),
    ("The image shows a red mug", f"{GOOD}</s>"),
    ("A red mug", "The wall is white. " * 20),
    (REFUSAL, REFUSAL),
)
"""By image. Asked once more, the server gives the first, but a refusal is not asked again."""

pytestmark = pytest.mark.slow


class Captioner:
    """Replies with `CAPTIONS`; of regions, the second text is a refusal."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self.told: list[str] = []
        """What it is told when it is asked again."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """A reply."""
        asked = await request.json()
        content = asked["messages"][0]["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        again = len(asked["messages"]) > 1
        if again:
            self.told.append(asked["messages"][-1]["content"])
        form = asked.get("response_format", {}).get("json_schema")
        value = self._value(form["name"], text, form["schema"], again) if form else "yes"
        message = {"role": "assistant", "content": json.dumps(value)}
        choice = {"message": message, "finish_reason": "stop"}
        return web.json_response({"model": MODEL, "choices": [choice]})

    def _value(self, name: str, text: str, schema: dict[str, Any], again: bool) -> Any:
        key = re.search(r"picture (\d+)", text)
        number = int(key[1]) if key else -1
        self.asked[name, number] += 1
        if name == "caption":
            short, long = CAPTIONS[0 if again or key is None else number]
            return {"short_caption": short, "long_caption": long}
        value = answer(name, text, [], schema)
        return value | {"2": "Sorry, I can't describe it."} if name == "regions" else value


@pytest.fixture
def captioner() -> Iterator[tuple[Captioner, str]]:
    reply = Captioner()
    with FaultyServer() as server:
        server.always = reply
        yield reply, server.url


def test_a_build_mends_asks_again_rejects_and_counts(
    captioner: tuple[Captioner, str], tmp_path: Path
) -> None:
    reply, url = captioner
    source, output = images(tmp_path / "in", len(CAPTIONS)), tmp_path / "out"
    values = settings(url, caption={"show_alt_text": True}, verify={"policy": "skip"})
    made = built(values, source, output)
    assert made["counts"]["written"] == 3 and made["rejects"] == {"refused_by_model": 1}
    samples = {sample.key: sample.json for sample in open_dataset(str(output))}
    assert {s["long_caption"] for s in samples.values()} == {GOOD}
    assert {s["short_caption"] for s in samples.values()} == {"A red mug"}
    assert [reply.asked["caption", number] for number in range(4)] == [1, 1, 2, 1]
    assert any("long_caption repeats the same words" in told for told in reply.told)
    dropped = made["dropped"]
    assert (dropped["caption.cut_opening"], dropped["caption.cut_special_tokens"]) == (1, 1)
    assert dropped["regions.refused_by_model"] == 3
    page = (output / "report.html").read_text()
    for told in ("cut from captions", "The image shows", "regions with a usable text"):
        assert told in page
