"""A chat request as a server reads it, and a proper answer to it.

The stage is read from the prompt, never from `response_format`, which some servers do not take.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
from functools import cached_property
from typing import Any

from PIL import Image

COLORS = ("red", "green", "blue", "yellow", "white", "black", "brown", "orange")
THINGS = ("mug", "bottle", "chair", "lamp", "book", "bowl", "clock", "shoe")
THINGS_IN_A_CAPTION = 7
"""More than the five images that some servers take in a request."""

TOKENS_OF_AN_IMAGE = 200

_STAGES = {"short_caption": "caption", "cut-outs of one": "regions", "swap": "negatives",
           "each statement true": "verify"}  # fmt: skip


class Asked:
    """The body of a chat request."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        content = body["messages"][0]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        self.text = "\n".join(p["text"] for p in parts if p["type"] == "text")
        self.images = [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]
        self.stage = next((s for mark, s in _STAGES.items() if mark in self.text), None)

    @property
    def form(self) -> dict[str, Any]:
        """The response format."""
        return self.body.get("response_format") or {}

    @property
    def schema(self) -> Any:
        """The JSON Schema that the reply must fit; None where none is sent."""
        return (self.form.get("json_schema") or {}).get("schema")

    @property
    def prompt_tokens(self) -> int:
        """About what a tokenizer would count."""
        return len(self.text) // 4 + TOKENS_OF_AN_IMAGE * len(self.images)

    @property
    def max_tokens(self) -> int:
        """The most tokens of the reply, by either name; 0 where none is given."""
        return self.body.get("max_tokens") or self.body.get("max_completion_tokens") or 0

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each image."""
        return [Image.open(io.BytesIO(_bytes(url))).size for url in self.images]

    @property
    def numbers(self) -> list[str]:
        """The numbers of the prompt's list."""
        return [number for number, _ in self._numbered]

    @cached_property
    def _numbered(self) -> list[tuple[str, str]]:
        return re.findall(r"^(\d+)\. (.*)$", self.text, re.MULTILINE)

    def answer(self) -> str:
        """A good model's reply, the same for the same question."""
        seed = hashlib.sha256("".join([self.text, *self.images]).encode()).digest()
        chance = random.Random(seed)
        if self.stage == "caption":
            return json.dumps(_captions(chance))
        if self.stage == "regions":
            return json.dumps({n: f"{_thing(chance)} on a wooden table" for n in self.numbers})
        if self.stage == "negatives":
            return json.dumps({n: _swaps(text, chance) for n, text in self._numbered})
        if self.stage == "verify":
            return json.dumps({n: "yes" if int(n) <= 2 else "no" for n in self.numbers})
        return "yes"


def _bytes(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def _thing(chance: random.Random) -> str:
    return f"a {chance.choice(COLORS)} {chance.choice(THINGS)}"


def _captions(chance: random.Random) -> dict[str, str]:
    names = chance.sample(THINGS, THINGS_IN_A_CAPTION)
    things = [f"a {chance.choice(COLORS)} {name}" for name in names]
    long = f"There is {things[0]} beside {things[1]} on a wooden table. "
    long += f"Behind them stand {things[2]} and {things[3]}. "
    long += f"On the floor lie {things[4]}, {things[5]} and {things[6]}."
    return {"short_caption": f"{things[0]} beside {things[1]} on a table", "long_caption": long}


def _swaps(text: str, chance: random.Random) -> list[dict[str, str]]:
    here = next((color for color in COLORS if color in text.split()), None)
    if here is None:
        return []
    others = chance.sample([color for color in COLORS if color != here], 5)
    return [{"attribute": "color", "original": here, "replacement": other} for other in others]
