"""Measures a model folder on unseen scenes: `python -m finehard.demo.vlm.measure FOLDER`."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finehard.demo import texts
from finehard.demo.render import render
from finehard.demo.vlm.examples import TASKS, WHOLE, Lesson, lesson
from finehard.demo.vlm.views import cut, whole
from finehard.demo.world import COLORS, KINDS, PATTERNS, Scene
from finehard.negatives.swap import Swap, check

MEASURE_SEED = 77
"""No training scene has this seed."""
_NAMED = re.compile(
    rf"\b(?:an?|the) ({'|'.join(COLORS)}) (?:({'|'.join(PATTERNS[1:])}) )?({'|'.join(KINDS)})\b"
)


class Answerer:
    """Greedy replies of a model folder, as a server gives them."""

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        import torch
        from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

        torch.set_num_threads(threads)
        self.processor: Any = AutoProcessor.from_pretrained(folder)
        self.model: Any = Qwen2VLForConditionalGeneration.from_pretrained(folder).eval()

    def reply(self, text: str, images: list[Image.Image], max_tokens: int = 400) -> str:
        """What the model says to `text` about `images`."""
        import torch

        parts: list[dict[str, Any]] = []
        for number, image in enumerate(images, 1):
            if len(images) > 1:  # as finehard.lmm.question.messages has it
                parts.append({"type": "text", "text": f"Image {number}:"})
            parts.append({"type": "image", "image": image})
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        told = ids[0, inputs["input_ids"].shape[1] :]
        return str(self.processor.tokenizer.decode(told, skip_special_tokens=True))


def shown(
    item: Lesson, picture: Image.Image, scene: Scene, rng: np.random.Generator
) -> list[Image.Image]:
    """The images of a lesson on `scene`."""
    return [
        whole(picture, scene, rng).image
        if index == WHOLE
        else cut(picture, scene, scene.things[index], rng).image
        for index in item.shows
    ]


def named(text: str) -> Counter[tuple[str, str, str]]:
    """How often `text` names each (color, pattern, kind)."""
    return Counter((c, p or "plain", k) for c, p, k in _NAMED.findall(text.lower()))


def measure(folder: str | Path, scenes: int = 50) -> dict[str, float]:
    """Shares, 0 to 1, over `scenes` scenes that were not trained on; each task asks about each."""
    answerer = Answerer(folder)
    tally: Counter[str] = Counter()
    for index in range(scenes):
        picture, scene = render(MEASURE_SEED, index)
        for number, task in enumerate(TASKS):
            rng = np.random.default_rng((index, number))
            item = lesson(task, scene, rng)
            images = shown(item, picture, scene, rng)
            said = _parsed(answerer.reply(item.text, images), item.truth)
            tally[f"{task} asked"] += 1
            if said is not None:
                tally[f"{task} valid"] += 1
                _SCORES[task](said, item, tally)
            elif task == "caption":
                tally["named truth"] += sum(named(item.truth["long_caption"]).values())
    parts = {
        **{f"{task}: valid JSON": (f"{task} valid", f"{task} asked") for task in TASKS},
        "caption: precision of color, pattern and kind": ("named right", "named said"),
        "caption: recall of color, pattern and kind": ("named right", "named truth"),
        "caption: precision of kind": ("kinds right", "named said"),
        "caption: recall of kind": ("kinds right", "named truth"),
        "caption: number of objects right": ("counts right", "caption asked"),
        "regions: color and kind right": ("regions color kind", "regions all"),
        "regions: color, pattern and kind right": ("regions right", "regions all"),
        "verify: right": ("verify right", "verify all"),
        "verify: true statements confirmed": ("verify yes right", "verify yes"),
        "verify: false statements refused": ("verify no right", "verify no"),
        "negatives: swaps that pass the checks": ("swaps pass", "swaps said"),
        "negatives: swaps as asked": ("swaps pass", "swaps asked"),
    }
    return {name: round(tally[a] / max(1, tally[b]), 3) for name, (a, b) in parts.items()}


def _parsed(reply: str, truth: Any) -> Any:
    """The reply, where it has the truth's keys."""
    try:
        said = json.loads(reply)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.keys() == truth.keys() else None


def _score_caption(said: Any, item: Lesson, tally: Counter[str]) -> None:
    told, true = named(said["long_caption"]), named(item.truth["long_caption"])
    tally["named said"] += sum(told.values())
    tally["named truth"] += sum(true.values())
    tally["named right"] += sum((told & true).values())
    kinds = [Counter(k for *_, k in words.elements()) for words in (told, true)]
    tally["kinds right"] += sum((kinds[0] & kinds[1]).values())
    tally["counts right"] += sum(told.values()) == sum(true.values())


def _score_regions(said: Any, item: Lesson, tally: Counter[str]) -> None:
    for number, true in item.truth.items():
        a, b = texts.words_of(said[number]), texts.words_of(true)
        tally["regions all"] += 1
        tally["regions right"] += a == b
        tally["regions color kind"] += bool(a and b and (a[0], a[2]) == (b[0], b[2]))


def _score_verify(said: Any, item: Lesson, tally: Counter[str]) -> None:
    for number, true in item.truth.items():
        right = said[number] == true
        tally["verify all"] += 1
        tally["verify right"] += right
        tally[f"verify {true}"] += 1
        tally[f"verify {true} right"] += right


def _score_negatives(said: Any, item: Lesson, tally: Counter[str]) -> None:
    phrases = dict(re.findall(r"^(\d+)\. (.*)$", item.text, re.MULTILINE))
    tally["swaps asked"] += sum(map(len, item.truth.values()))
    for number, swaps in said.items():
        kept: list[Any] = []
        for swap in swaps:
            tally["swaps said"] += 1
            made = check(
                phrases[number],
                Swap(swap["attribute"], swap["original"], swap["replacement"]),
                kept,
            )
            if not isinstance(made, str):
                kept.append(made)
                tally["swaps pass"] += 1


_SCORES = {
    "caption": _score_caption,
    "regions": _score_regions,
    "verify": _score_verify,
    "negatives": _score_negatives,
}


def main() -> None:
    """Prints the shares, one to a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=50)
    args = parser.parse_args()
    for name, share in measure(args.folder, args.scenes).items():
        print(f"{share:6.3f}  {name}")


if __name__ == "__main__":
    main()
