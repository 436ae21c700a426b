"""LLaVA-type conversations, JSONL: the caption, then each region both ways.

Boxes are [x1, y1, x2, y2], fractions of the image to three digits; a trainer that pads images to a
square has to convert them.
"""

from __future__ import annotations

from typing import Any

from finehard.dataset.reader import Dataset
from finehard.export.json_lists import write_lines
from finehard.export.target import Target, usable

_DESCRIBE = {"long": "Describe this image in detail.", "short": "Describe this image briefly."}
_NAME = "Provide a short description of this region: "
_FIND = "Provide the bounding box of the region that this sentence describes: "


def write(dataset: Dataset, target: Target) -> None:
    """Writes conversations.jsonl and the images; counts conversations and turns."""
    with target.writing("conversations.jsonl") as file:
        write_lines(file, (_conversation(target, sample) for sample in dataset))


def _conversation(target: Target, sample: Any) -> dict[str, Any]:
    meta = sample.json
    turns = [(f"{_DESCRIBE[kind]}", meta[f"{kind}_caption"]) for kind in ("short", "long")]
    for region, *_ in usable(meta, target.counts):
        box = "[" + ", ".join(f"{value:.3f}" for value in region["box"]) + "]"
        turns += [(_NAME + box, region["long_expr"]), (_FIND + region["short_expr"], box)]
    target.counts["conversations"] += 1
    target.counts["turns"] += len(turns)
    said = [
        {
            "from": speaker,
            "value": ("<image>\n" if number == 0 and speaker == "human" else "") + text,
        }
        for number, turn in enumerate(turns)
        for speaker, text in zip(("human", "gpt"), turn, strict=True)
    ]
    return {"id": meta["key"], "image": target.add_image(sample), "conversations": said}
