"""A server with the OpenAI chat protocol and no model, for measuring all else.

It has a number of slots, takes a set time per request, and gives replies that fit the requested
schema and depend on the question only. It can log its questions with the time of the answer; see
`python -m bench.simulated_server --help`. A share of its answers can be faults (see
`bench.server_faults`); POST /control changes this while it runs, with any of
{"faults": 0.2, "kinds": ["500"], "sticky": false, "slower": 10}.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import heapq
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from bench.server_faults import FAULTS

MODEL = "simulated"
COLORS = ("red", "green", "blue", "yellow", "white", "black", "brown", "orange")
THINGS = ("mug", "bottle", "chair", "lamp", "book", "bowl", "clock", "shoe")
SENTENCES = (
    "In the middle of a wooden table there is {}, with {} close beside it and {} a little behind.",
    "To the left stands {}, half hidden by {}, whose shadow falls over {} at the front edge.",
    "On the right one can see {} leaning against {}, and between them {} that catches the light.",
    "A shelf on the plain wall holds {}, then {} turned to one side, and at its end {}.",
    "Under the table lies {} on a striped rug, not far from {} and from {} with a chipped rim.",
    "Through the open door in the background {} is visible, next to it {}, and further off {}.",
    "The window sill carries {} and {}, while {} hangs from a hook above them.",
)

Answer = Callable[[str, str, list[str], dict[str, Any]], Any]
"""Returns the reply to a question: the schema's name, the text, the images' URLs, the schema."""


def answer(name: str, text: str, images: list[str], schema: dict[str, Any]) -> Any:
    """Returns a reply for schema `name` that depends on the question only."""
    seed = hashlib.blake2b("".join([text, *images]).encode(), digest_size=8).digest()
    chance = random.Random(seed)

    def thing() -> str:
        return f"a {chance.choice(COLORS)} {chance.choice(THINGS)}"

    if name == "caption":
        things = [thing() for _ in range(4)]
        long = f"There is {things[0]} beside {things[1]} on a wooden table. "
        long += f"Behind them stands {things[2]}, and on the floor lies {things[3]}."
        return {"short_caption": f"{things[0]} beside {things[1]}", "long_caption": long}
    if name.startswith("recaption-"):  # as long as models write them, 170 words
        said = " ".join(form.format(thing(), thing(), thing()) for form in SENTENCES)
        return {"short_caption": f"{thing()} beside {thing()}", "long_caption": said}
    if name == "regions":
        return {number: f"{thing()} on a wooden table" for number in schema["required"]}
    if name == "correct_texts":
        new = {number: thing() for number in schema["required"]}
        return {number: {"name": t, "caption": f"{t} on a table"} for number, t in new.items()}
    if name in ("negatives", "correct_negatives"):
        texts = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))  # a prompt's example first
        named = {number: _swaps(texts.get(number, ""), chance) for number in schema["required"]}
        entry = schema["properties"]["1"]["items"]
        return named if entry["type"] == "object" else {n: _lists(s) for n, s in named.items()}
    numbers = {n: p for n, p in schema["properties"].items() if p.get("type") == "integer"}
    if numbers:  # a stage of the user's
        return {n: chance.randint(p["minimum"], p["maximum"]) for n, p in numbers.items()}
    return {number: chance.choice(("yes", "yes", "no")) for number in schema["required"]}


def _swaps(text: str, chance: random.Random) -> list[dict[str, str]]:
    here = next((c for c in COLORS if c in text), None)
    if here is None:
        return []
    others = chance.sample([c for c in COLORS if c != here], 5)
    return [{"attribute": "color", "original": here, "replacement": o} for o in others]


def _lists(swaps: list[dict[str, str]]) -> list[str]:
    words = ", ".join(swap["replacement"] for swap in swaps)
    return [f"{swaps[0]['original']}: {words}"] if swaps else []


class Simulated:
    """The server's state and handlers."""

    def __init__(self, args: argparse.Namespace, answer: Answer, text: int) -> None:
        self._answer, self._text = answer, text
        slots, least_s, most_s, log = args.slots, args.least_s, args.most_s, args.log
        self._broken = args.broken
        self._share: float = args.faults
        self._kinds: list[str] = args.kinds.split(",")
        self._sticky: bool = args.sticky
        self._slower = 1.0
        self._batched: float = args.batched
        self._slots_taken = 0
        self.faults: Counter[str] = Counter()
        self._slots = asyncio.Semaphore(slots)
        self._free_since = [0.0] * slots
        self._times = (least_s, most_s)
        self._log = open(log, "a", buffering=1) if log else None  # noqa: SIM115
        self._chance = random.Random(0)
        self.requests = 0
        self.busy_s = 0.0
        self.first: float | None = None
        self.last = 0.0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answers a chat request."""
        body = await request.json()
        text, images = _read(body["messages"], self._text)
        if "response_format" not in body:  # a probe
            message = {"role": "assistant", "content": "yes"}
            return web.json_response({"model": MODEL, "choices": [{"message": message}]})
        form = body["response_format"]["json_schema"]
        arrived = time.monotonic()
        async with self._slots:
            self.first = self.first or time.time()
            seconds = self._chance.uniform(*self._times) * self._slower
            seconds *= 1 + self._batched * self._slots_taken
            self._slots_taken += 1
            # starts when the slot became free, even if this task was scheduled later
            done = max(arrived, heapq.heappop(self._free_since)) + seconds
            try:
                await asyncio.sleep(done - time.monotonic())
            finally:  # a cancelled request frees its slot too
                heapq.heappush(self._free_since, done)
                self._slots_taken -= 1
            self.requests += 1
            self.busy_s += seconds
            self.last = time.time()
        reply = json.dumps(self._answer(form["name"], text, images, form["schema"]))
        if self._broken:
            reply = '{"something": "else"}'
        completion = {
            "model": body["model"],
            "choices": [
                {"message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
            ],
            "usage": {
                "prompt_tokens": len(text) // 4 + 256 * len(images),
                "completion_tokens": len(reply) // 4,
            },
        }
        kind = self._fault("".join([text, *images]))
        if kind:
            self.faults[kind] += 1
            return await FAULTS[kind](request, completion)
        if self._log:
            question = hashlib.blake2b(json.dumps(body).encode(), digest_size=12).hexdigest()
            self._log.write(f"{time.time():.3f} {form['name']} {question}\n")
        return web.json_response(completion)

    def _fault(self, question: str) -> str | None:
        """Returns the fault for this request or None; with `sticky` it depends on the question."""
        seed = hashlib.blake2b(question.encode(), digest_size=8).digest()
        chance = random.Random(seed) if self._sticky else self._chance
        return chance.choice(self._kinds) if chance.random() < self._share else None

    async def control(self, request: web.Request) -> web.Response:
        """Changes faults and speed."""
        changes = await request.json()
        self._share = changes.get("faults", self._share)
        self._kinds = changes.get("kinds", self._kinds)
        self._sticky = changes.get("sticky", self._sticky)
        self._slower = changes.get("slower", self._slower)
        return web.json_response({"faults": self.faults})

    async def models(self, _: web.Request) -> web.Response:
        """Lists the model."""
        return web.json_response({"object": "list", "data": [{"id": MODEL}]})

    async def stats(self, _: web.Request) -> web.Response:
        """Returns numbers of requests and faults, busy slot seconds, times of first and last."""
        return web.json_response(
            {
                "requests": self.requests,
                "busy_s": self.busy_s,
                "first": self.first,
                "last": self.last,
                "cpu_s": time.process_time(),
                "faults": self.faults,
            }
        )

    def app(self) -> web.Application:
        """Returns the web application."""
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/stats", self.stats)
        app.router.add_post("/control", self.control)
        return app


def _read(messages: list[dict[str, Any]], which: int) -> tuple[str, list[str]]:
    content = messages[0]["content"]
    if isinstance(content, str):
        return content, []
    images = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    texts = [part["text"] for part in content if part["type"] == "text"]
    return texts[which], images


async def serve(args: argparse.Namespace, answer: Answer = answer, text: int = 0) -> None:
    """Serves until standard input ends; prints the base URL first.

    Of a message with several texts, such as "Image 1:" before the question, `answer` gets number
    `text`: the first, as when the journals that tests go on with were recorded.
    """
    server = Simulated(args, answer, text)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", args.port)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent ends


def arguments() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--least-s", type=float, default=0.2)
    parser.add_argument("--most-s", type=float, default=0.2)
    parser.add_argument(
        "--batched",
        type=float,
        default=0.0,
        help="share of its time by which a request takes longer for each other one in work",
    )
    parser.add_argument("--log", help="file for a line per answer: time, stage, question")
    parser.add_argument(
        "--broken", action="store_true", help="give replies that do not fit the schema"
    )
    parser.add_argument(
        "--faults", type=float, default=0.0, help="share of answers that are faults"
    )
    parser.add_argument(
        "--kinds", default=",".join(FAULTS), help="faults to choose from: " + ", ".join(FAULTS)
    )
    parser.add_argument(
        "--sticky",
        action="store_true",
        help="the same fault, or none, each time a question is asked",
    )
    return parser


if __name__ == "__main__":
    asyncio.run(serve(arguments().parse_args()))
