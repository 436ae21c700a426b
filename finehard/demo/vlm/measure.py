"""Evaluates a model folder on unseen scenes: `python -m finehard.demo.vlm.measure FOLDER`."""

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
from finehard.demo.vlm.examples import FULL_IMAGE, TASKS, Example, make_example
from finehard.demo.vlm.views import crop_view, full_view
from finehard.demo.world import COLORS, KINDS, PATTERNS, Scene
from finehard.negatives.swap import Swap, check

EVAL_SEED = 77
"""No training scene has this seed."""
_DESCRIPTION = re.compile(
    rf"\b(?:an?|the) ({'|'.join(COLORS)}) (?:({'|'.join(PATTERNS[1:])}) )?({'|'.join(KINDS)})\b"
)


class ReplyGenerator:
    """Generates replies with the model in a folder, greedily, as a server does."""

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        import torch
        from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

        torch.set_num_threads(threads)
        self.processor: Any = AutoProcessor.from_pretrained(folder)
        self.model: Any = Qwen2VLForConditionalGeneration.from_pretrained(folder).eval()

    def reply(self, text: str, images: list[Image.Image], max_tokens: int = 400) -> str:
        """Returns the model's reply to `text` about `images`."""
        import torch

        parts: list[dict[str, Any]] = []
        for number, image in enumerate(images, 1):
            if len(images) > 1:  # as in finehard.lmm.question.messages
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
        generated = ids[0, inputs["input_ids"].shape[1] :]
        return str(self.processor.tokenizer.decode(generated, skip_special_tokens=True))


def example_images(
    example: Example, picture: Image.Image, scene: Scene, rng: np.random.Generator
) -> list[Image.Image]:
    """Returns the images of an example made of `scene`."""
    return [
        full_view(picture, scene, rng).image
        if index == FULL_IMAGE
        else crop_view(picture, scene, scene.things[index], rng).image
        for index in example.images
    ]


def descriptions(text: str) -> Counter[tuple[str, str, str]]:
    """Counts the objects that `text` names, by (color, pattern, kind)."""
    return Counter((c, p or "plain", k) for c, p, k in _DESCRIPTION.findall(text.lower()))


def measure(folder: str | Path, scenes: int = 50) -> dict[str, float]:
    """Returns the metrics, 0 to 1, over `scenes` unseen scenes with one question of each task."""
    generator = ReplyGenerator(folder)
    tally: Counter[str] = Counter()
    for index in range(scenes):
        picture, scene = render(EVAL_SEED, index)
        for number, task in enumerate(TASKS):
            rng = np.random.default_rng((index, number))
            example = make_example(task, scene, rng)
            images = example_images(example, picture, scene, rng)
            reply = _parsed(generator.reply(example.question, images), example.target)
            tally[f"{task} asked"] += 1
            if reply is not None:
                tally[f"{task} valid"] += 1
                _SCORES[task](reply, example, tally)
            elif task == "caption":
                tally["named truth"] += descriptions(example.target["long_caption"]).total()
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


def _parsed(reply: str, target: Any) -> Any:
    """Returns the reply if it has the target's keys, else None."""
    try:
        value = json.loads(reply)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.keys() == target.keys() else None


def _score_caption(reply: Any, example: Example, tally: Counter[str]) -> None:
    said = descriptions(reply["long_caption"])
    true = descriptions(example.target["long_caption"])
    tally["named said"] += said.total()
    tally["named truth"] += true.total()
    tally["named right"] += (said & true).total()
    said_kinds, true_kinds = (Counter(k for *_, k in c.elements()) for c in (said, true))
    tally["kinds right"] += (said_kinds & true_kinds).total()
    tally["counts right"] += said.total() == true.total()


def _score_regions(reply: Any, example: Example, tally: Counter[str]) -> None:
    for number, true in example.target.items():
        a, b = texts.words_of(reply[number]), texts.words_of(true)
        tally["regions all"] += 1
        tally["regions right"] += a == b
        tally["regions color kind"] += bool(a and b and (a[0], a[2]) == (b[0], b[2]))


def _score_verify(reply: Any, example: Example, tally: Counter[str]) -> None:
    for number, true in example.target.items():
        right = reply[number] == true
        tally["verify all"] += 1
        tally["verify right"] += right
        tally[f"verify {true}"] += 1
        tally[f"verify {true} right"] += right


def _score_negatives(reply: Any, example: Example, tally: Counter[str]) -> None:
    phrases = dict(re.findall(r"^(\d+)\. (.*)$", example.question, re.MULTILINE))
    tally["swaps asked"] += sum(map(len, example.target.values()))
    for number, swaps in reply.items():
        accepted: list[Any] = []
        for swap in swaps:
            tally["swaps said"] += 1
            negative = check(
                phrases[number],
                Swap(swap["attribute"], swap["original"], swap["replacement"]),
                accepted,
            )
            if not isinstance(negative, str):
                accepted.append(negative)
                tally["swaps pass"] += 1


_SCORES = {
    "caption": _score_caption,
    "regions": _score_regions,
    "verify": _score_verify,
    "negatives": _score_negatives,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=50)
    args = parser.parse_args()
    for name, share in measure(args.folder, args.scenes).items():
        print(f"{share:6.3f}  {name}")


if __name__ == "__main__":
    main()
