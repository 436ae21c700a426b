"""The simulated models over HTTP, with the protocol of `bench.simulated_server`."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

from bench import simulated_server
from bench.recipes import models
from bench.recipes.world import World

_NUMBERED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)


class Answers:
    """Answers questions about the scenes of a world; about other images as without a model."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, name: str, text: str, images: list[str], schema: dict[str, Any]) -> Any:
        """As `bench.simulated_server.answer`."""
        lines = dict(_NUMBERED.findall(text))  # a prompt's example comes first
        if name in ("negatives", "correct_negatives"):
            return {number: models.swaps(lines[number]) for number in schema["required"]}
        shown = [base64.b64decode(url.partition(",")[2]) for url in images]
        whole = self._world.of_file(shown[0])
        if name == "caption" and whole is not None:
            return models.captions(whole, self._world.scenes[whole])
        if name == "verify_caption" and whole is not None:
            scene = self._world.scenes[whole]
            said = {n: models.caption_verdict(whole, scene, lines[n]) for n in schema["required"]}
            return {n: "yes" if true else "no" for n, true in said.items()}
        views = [self._world.of_view(data) for data in shown]
        found = [view for view in views if view is not None]
        if name == "caption" or not found or len(found) < len(views):  # the rehearsal's picture
            return simulated_server.answer(name, text, images, schema)
        key = found[0][0]
        scene, things = self._world.scenes[key], [thing for _, thing in found]
        if name == "regions":
            told = models.region_captions(key, scene, things)
            return {str(n): caption for n, caption in enumerate(told, 1)}
        if name == "correct_texts":
            made = [
                models.read_again(key, scene, t, lines[str(n)]) for n, t in enumerate(things, 1)
            ]
            return {str(n): {"name": a, "caption": b} for n, (a, b) in enumerate(made, 1)}
        said = {n: models.verdict(key, scene, things[0], lines[n]) for n in schema["required"]}
        return {n: "yes" if true else "no" for n, true in said.items()}


if __name__ == "__main__":
    parser = simulated_server.arguments()
    parser.add_argument("--world", required=True, help="the file of a `World`")
    args = parser.parse_args()
    asyncio.run(simulated_server.serve(args, Answers(World(args.world)), text=-1))
